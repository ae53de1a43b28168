# computelocator_module(NAME PART Columns|Cluster [HEADER_ONLY] [USES module...] [INSIDE library...])
#
# One CMake target a room of the house. USES are the modules whose headers its
# public header includes; INSIDE are libraries that only its body knows. PART is the component
# of the installed package to which it belongs: Columns needs nothing but a compiler, Cluster the
# libraries of cmake/dependencies.cmake.
function(computelocator_module name)
  cmake_parse_arguments(arg "HEADER_ONLY" "PART" "USES;INSIDE" ${ARGN})
  set(target computelocator_${name})
  if(arg_HEADER_ONLY)
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(${target} ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cpp)
    set(scope PUBLIC)
    set_target_properties(${target} PROPERTIES
      POSITION_INDEPENDENT_CODE ON
      VERSION ${PROJECT_VERSION}
      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    target_link_libraries(${target} PRIVATE ${arg_INSIDE} $<BUILD_INTERFACE:computelocator_warnings>)
  endif()
  add_library(ComputeLocator::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(${target} ${scope} cxx_std_20)
  target_include_directories(${target} ${scope}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  foreach(used IN LISTS arg_USES)
    target_link_libraries(${target} ${scope} computelocator_${used})
  endforeach()
  if(COMPUTELOCATOR_INSTALL)
    install(TARGETS ${target} EXPORT ComputeLocator${arg_PART}Targets
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
      RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT development)
  endif()
endfunction()

# Warnings are the project's own business: never exported to those who link it.
add_library(computelocator_warnings INTERFACE)
target_compile_options(computelocator_warnings INTERFACE
  $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers>)
