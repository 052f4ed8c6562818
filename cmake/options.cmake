if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug or Release" FORCE)
endif()

set(FOVEA_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined")
option(FOVEA_WERROR "Warnings are errors" OFF)
option(FOVEA_TESTS "Build the tests when Criterion is there, and the golden runner" ON)
option(FOVEA_FUZZ "Build the fuzz targets with libFuzzer (clang)" OFF)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_FLAGS_RELEASE "-O3")

# Results must not depend on the compiler's choice to fuse a multiply and an add.
add_compile_options(-ffp-contract=off)
add_compile_definitions(_GNU_SOURCE FOVEA_VERSION="${PROJECT_VERSION}")
include_directories(${PROJECT_SOURCE_DIR})

set(FOVEA_WARNINGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wdouble-promotion
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wformat=2)
# Clang does not know that the value of NAN and INFINITY fits any type, and that fields left out of an
# initialiser with names are meant to be zero.
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  list(APPEND FOVEA_WARNINGS -Wno-double-promotion -Wno-missing-field-initializers)
endif()
if(FOVEA_WERROR)
  list(APPEND FOVEA_WARNINGS -Werror)
endif()
if(FOVEA_SANITIZE)
  add_compile_options(-fsanitize=${FOVEA_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FOVEA_SANITIZE})
  if(FOVEA_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
if(FOVEA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link) # coverage for libFuzzer
endif()

# fovea_library(NAME SOURCES... ) with the project's warnings.
function(fovea_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_options(${name} PRIVATE ${FOVEA_WARNINGS})
endfunction()
