// SPDX-License-Identifier: Apache-2.0
#include <sluice_next.skel.h>

#include "datapath/object_bytes.hpp"

const void* sluice_object_bytes(std::size_t* size) {
  return sluice_next__elf_bytes(size);
}
