// SPDX-License-Identifier: Apache-2.0
#include "datapath/object_bytes.hpp"

#include <sluice.skel.h>

const void* sluice_object_bytes(std::size_t* size) {
  return sluice__elf_bytes(size);
}
