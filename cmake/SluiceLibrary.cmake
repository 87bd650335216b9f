# SPDX-License-Identifier: Apache-2.0
# sluice_library(NAME SOURCES a.cpp ... MAY_USE folder ... [LINK library ...])
#
# One static library a folder. MAY_USE names the folders below it; a folder can only include headers of a
# library that it links, because every include path comes with a link.
set(SLUICE_FOLDERS base model wire store compile datapath node api daemon cli)

set(SLUICE_WARNINGS -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor)

add_library(sluice_options INTERFACE)
target_compile_options(sluice_options INTERFACE ${SLUICE_WARNINGS})
target_include_directories(sluice_options INTERFACE "${PROJECT_SOURCE_DIR}/include")
if(SLUICE_SANITIZE)
  target_compile_options(sluice_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                                  -fno-omit-frame-pointer)
  target_link_options(sluice_options INTERFACE -fsanitize=address,undefined)
endif()

function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;MAY_USE;LINK" ${ARGN})
  add_library(sluice_${name} STATIC ${ARG_SOURCES})
  # A folder sees its own headers as "name/header.hpp" through a private staging directory that holds
  # links to itself and to what it may use, so that a wrong include does not compile.
  set(stage "${CMAKE_CURRENT_BINARY_DIR}/include")
  file(MAKE_DIRECTORY "${stage}")
  file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${stage}/${name}" SYMBOLIC)
  target_include_directories(sluice_${name} PUBLIC "${stage}")
  target_link_libraries(sluice_${name} PUBLIC sluice_options ${ARG_LINK})
  list(FIND SLUICE_FOLDERS "${name}" own)
  foreach(folder ${ARG_MAY_USE})
    list(FIND SLUICE_FOLDERS "${folder}" other)
    if(other EQUAL -1 OR (NOT own EQUAL -1 AND NOT other LESS own))
      message(FATAL_ERROR "userspace/${name} may not use userspace/${folder}: the direction is ${SLUICE_FOLDERS}")
    endif()
    target_link_libraries(sluice_${name} PUBLIC sluice_${folder})
  endforeach()
endfunction()

# sluice_test(NAME SOURCES a.cpp ... USES folder ... [LINK library ...] [LABELS l ...] [TIMEOUT s])
# A GoogleTest program, one CTest entry.
function(sluice_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;USES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE sluice_options GTest::gtest GTest::gtest_main ${ARG_LINK})
  # What a test spends in its own code is little beside the time that optimizing it takes.
  target_compile_options(${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1 -g1>)
  foreach(folder ${ARG_USES})
    target_link_libraries(${name} PRIVATE sluice_${folder})
  endforeach()
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
