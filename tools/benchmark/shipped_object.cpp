// SPDX-License-Identifier: Apache-2.0
#include "shipped_object.hpp"

#include <sluice.skel.h>

const void* shipped_object(std::size_t* size) {
  return sluice__elf_bytes(size);
}
