# Cross-compiles for 64-bit ARM with Debian's compiler and runs what it built under an emulator:
#   cmake -S . -B build/arm64 --toolchain cmake/aarch64-linux.cmake -DCOMPUTELOCATOR_COLUMNS_ONLY=ON
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

find_program(COMPUTELOCATOR_AARCH64_EMULATOR NAMES qemu-aarch64 qemu-aarch64-static)
if(COMPUTELOCATOR_AARCH64_EMULATOR)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${COMPUTELOCATOR_AARCH64_EMULATOR} -L /usr/aarch64-linux-gnu)
endif()
