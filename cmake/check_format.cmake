# Fails on a file that clang-format 14 would change.   cmake -DROOT=... -DTOOL=... -P check_format.cmake
cmake_minimum_required(VERSION 3.25)

set(files "")
foreach(folder core layers models data eval train cli tests)
  file(GLOB_RECURSE found ${ROOT}/${folder}/*.c ${ROOT}/${folder}/*.h)
  list(APPEND files ${found})
endforeach()
list(FILTER files EXCLUDE REGEX "/tests/golden/") # generated tables
execute_process(COMMAND ${TOOL} --dry-run --Werror ${files}
                RESULT_VARIABLE result ERROR_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${output}\nclang-format-14 -i puts these right")
endif()
