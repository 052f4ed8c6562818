# Compiles every header by itself, so that each includes what it needs.
#   cmake -DROOT=... -DCC=... -P check_headers.cmake
cmake_minimum_required(VERSION 3.25)

set(errors 0)
set(count 0)
foreach(folder core layers models data eval train cli tests)
  file(GLOB_RECURSE headers RELATIVE ${ROOT} ${ROOT}/${folder}/*.h)
  foreach(header ${headers})
    execute_process(
      COMMAND ${CC} -std=c11 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Werror -I${ROOT} -x c
              ${ROOT}/${header}
      RESULT_VARIABLE result ERROR_VARIABLE output)
    math(EXPR count "${count} + 1")
    if(NOT result EQUAL 0)
      message(SEND_ERROR "${header} does not compile by itself:\n${output}")
      math(EXPR errors "${errors} + 1")
    endif()
    # core/tape.h is guarded by FV_CORE_TAPE_H, tests/support/x.h by FV_TESTS_X_H.
    file(STRINGS ${ROOT}/${header} guard REGEX "^#ifndef FV_[A-Z0-9_]+_H$" LIMIT_COUNT 1)
    if(NOT guard)
      message(SEND_ERROR "${header} has no guard FV_..._H")
      math(EXPR errors "${errors} + 1")
    endif()
  endforeach()
endforeach()
if(count EQUAL 0)
  message(SEND_ERROR "no headers below ${ROOT}")
endif()
message(STATUS "headers: ${count} compiled, ${errors} errors")
