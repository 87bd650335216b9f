// SPDX-License-Identifier: Apache-2.0
// The BPF object as it is shipped. The skeleton's `struct sluice` cannot be declared beside our namespace of that
// name, so one source file includes the skeleton and nothing of ours.
#pragma once

#include <cstddef>

/// The ELF image; `size` receives its length.
const void* shipped_object(std::size_t* size);
