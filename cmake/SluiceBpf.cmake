# SPDX-License-Identifier: Apache-2.0
# sluice_bpf_object(NAME SOURCE file.bpf.c HEADERS ... [DEFINES ...])
#
# Compiles one BPF object with clang-19 (-mcpu=v3: v4 does not load on kernel 6.1) and makes its bpftool
# skeleton NAME.skel.h; the interface library NAME_skeleton gives both to C++. Headers are named, so that an
# ABI change rebuilds object and skeleton. Nothing of the build machine's kernel is read.
find_program(SLUICE_CLANG NAMES clang-19 REQUIRED)
find_program(SLUICE_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

function(sluice_bpf_object name)
  cmake_parse_arguments(ARG "" "SOURCE" "HEADERS;DEFINES" ${ARGN})
  list(TRANSFORM ARG_DEFINES PREPEND "-D")
  set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o")
  set(skeleton "${CMAKE_CURRENT_BINARY_DIR}/skeleton/${name}.skel.h")
  file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/skeleton")
  set(headers)
  foreach(header ${ARG_HEADERS})
    cmake_path(ABSOLUTE_PATH header BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    list(APPEND headers "${header}")
  endforeach()
  add_custom_command(
    OUTPUT "${object}"
    COMMAND "${SLUICE_CLANG}" -target bpf -mcpu=v3 -O2 -g -fno-strict-aliasing -Wall -Wextra -Werror -Wno-unused-parameter
            -Wno-address-of-packed-member ${ARG_DEFINES} -I "${PROJECT_SOURCE_DIR}/include" -I /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -c "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SOURCE}" -o "${object}"
    DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SOURCE}" ${headers}
    COMMENT "BPF object ${name}.bpf.o"
    VERBATIM)
  add_custom_command(
    OUTPUT "${skeleton}"
    COMMAND sh -c "'${SLUICE_BPFTOOL}' gen skeleton '${object}' name ${name} > '${skeleton}.new' && mv '${skeleton}.new' '${skeleton}'"
    DEPENDS "${object}"
    COMMENT "BPF skeleton ${name}.skel.h"
    VERBATIM)
  add_custom_target(${name}_object ALL DEPENDS "${object}" "${skeleton}")
  add_library(${name}_skeleton INTERFACE)
  add_dependencies(${name}_skeleton ${name}_object)
  target_include_directories(${name}_skeleton SYSTEM INTERFACE "${CMAKE_CURRENT_BINARY_DIR}/skeleton")
  target_link_libraries(${name}_skeleton INTERFACE PkgConfig::LIBBPF)
endfunction()
