# What the rooms beyond `columns` need, each from a package that is already installed:
# nothing is fetched by a build. Tried in one place so that a missing package is one clear line.
set(COMPUTELOCATOR_MISSING "")

find_package(Threads REQUIRED)

# Boost: headers alone. 1.81 is the first with per-operation cancellation, as_tuple and
# awaitable operators in Asio.
find_path(COMPUTELOCATOR_BOOST_INCLUDE_DIR boost/beast.hpp
  HINTS ${PROJECT_SOURCE_DIR}/.deps/usr/include ENV BOOST_ROOT PATH_SUFFIXES include
  DOC "Folder that holds boost/beast.hpp, version 1.81 or newer")
set(boost_version 0)
if(COMPUTELOCATOR_BOOST_INCLUDE_DIR)
  file(STRINGS ${COMPUTELOCATOR_BOOST_INCLUDE_DIR}/boost/version.hpp boost_line
    REGEX "^#define BOOST_VERSION ")
  string(REGEX REPLACE "[^0-9]" "" boost_version "${boost_line}")
endif()
if(boost_version LESS 108100)
  list(APPEND COMPUTELOCATOR_MISSING "Boost >= 1.81 headers (Debian: libboost1.81-dev; set COMPUTELOCATOR_BOOST_INCLUDE_DIR where it lies elsewhere)")
endif()
add_library(computelocator_boost INTERFACE)
target_include_directories(computelocator_boost SYSTEM INTERFACE
  $<BUILD_INTERFACE:${COMPUTELOCATOR_BOOST_INCLUDE_DIR}>)
target_compile_definitions(computelocator_boost INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_REGEX)
target_link_libraries(computelocator_boost INTERFACE Threads::Threads)

find_package(OpenSSL 3.0 QUIET)
add_library(computelocator_openssl INTERFACE)
if(OpenSSL_FOUND)
  target_link_libraries(computelocator_openssl INTERFACE OpenSSL::SSL OpenSSL::Crypto)
else()
  list(APPEND COMPUTELOCATOR_MISSING "OpenSSL >= 3.0 (Debian: libssl-dev)")
endif()

# Without a version: simdjson's version file accepts only the same minor version.
find_package(simdjson CONFIG QUIET)
add_library(computelocator_simdjson INTERFACE)
if(simdjson_FOUND AND simdjson_VERSION VERSION_GREATER_EQUAL 3.0)
  target_link_libraries(computelocator_simdjson INTERFACE simdjson::simdjson)
else()
  list(APPEND COMPUTELOCATOR_MISSING "simdjson >= 3.0 (Debian: libsimdjson-dev)")
endif()

function(computelocator_library name header library what)
  find_path(COMPUTELOCATOR_${name}_INCLUDE_DIR ${header})
  find_library(COMPUTELOCATOR_${name}_LIBRARY ${library})
  mark_as_advanced(COMPUTELOCATOR_${name}_INCLUDE_DIR COMPUTELOCATOR_${name}_LIBRARY)
  string(TOLOWER computelocator_${name} target)
  add_library(${target} INTERFACE)
  if(COMPUTELOCATOR_${name}_INCLUDE_DIR AND COMPUTELOCATOR_${name}_LIBRARY)
    target_include_directories(${target} SYSTEM INTERFACE
      $<BUILD_INTERFACE:${COMPUTELOCATOR_${name}_INCLUDE_DIR}>)
    target_link_libraries(${target} INTERFACE
      $<BUILD_INTERFACE:${COMPUTELOCATOR_${name}_LIBRARY}> $<INSTALL_INTERFACE:${library}>)
  else()
    list(APPEND COMPUTELOCATOR_MISSING "${what}")
    set(COMPUTELOCATOR_MISSING "${COMPUTELOCATOR_MISSING}" PARENT_SCOPE)
  endif()
endfunction()

computelocator_library(YAML yaml.h yaml "libyaml (Debian: libyaml-dev)")
computelocator_library(ISAL isa-l/igzip_lib.h isal "ISA-L (Debian: libisal-dev)")

if(COMPUTELOCATOR_MISSING)
  list(JOIN COMPUTELOCATOR_MISSING "\n  - " missing)
  message(FATAL_ERROR "ComputeLocator needs, and did not find:\n  - ${missing}\n"
    "On Debian or Ubuntu `make setup` installs all of it; -DCOMPUTELOCATOR_COLUMNS_ONLY=ON builds the parser and the columns without any of it.")
endif()
