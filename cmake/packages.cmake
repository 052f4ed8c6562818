# System libraries as imported targets; setup.sh installs them on Debian.
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)
find_package(PNG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(turbojpeg REQUIRED IMPORTED_TARGET libturbojpeg)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)

find_path(STB_INCLUDE_DIR stb/stb_easy_font.h REQUIRED) # headers only
add_library(fovea_stb INTERFACE IMPORTED)
set_target_properties(fovea_stb PROPERTIES
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${STB_INCLUDE_DIR})

find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(fovea_dnnl INTERFACE IMPORTED)
set_target_properties(fovea_dnnl PROPERTIES
  INTERFACE_LINK_LIBRARIES ${DNNL_LIBRARY}
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
