# The installed package: find_package(ComputeLocator COMPONENTS text columns ComputeLocator) and
# pkg-config. The components text and columns need nothing but a compiler.
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/ComputeLocator)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/computelocator
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT ComputeLocatorColumnsTargets NAMESPACE ComputeLocator:: DESTINATION ${package}
  COMPONENT development)
if(NOT COMPUTELOCATOR_COLUMNS_ONLY)
  install(TARGETS computelocator_all computelocator_boost computelocator_openssl
    computelocator_simdjson computelocator_yaml computelocator_isal
    EXPORT ComputeLocatorClusterTargets)
  install(EXPORT ComputeLocatorClusterTargets NAMESPACE ComputeLocator:: DESTINATION ${package}
    COMPONENT development)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/computelocator.pc.in
    ${PROJECT_BINARY_DIR}/computelocator.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/computelocator.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endif()
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/ComputeLocatorConfig.cmake.in
  ${PROJECT_BINARY_DIR}/ComputeLocatorConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ComputeLocatorConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/ComputeLocatorConfig.cmake
  ${PROJECT_BINARY_DIR}/ComputeLocatorConfigVersion.cmake
  DESTINATION ${package} COMPONENT development)
