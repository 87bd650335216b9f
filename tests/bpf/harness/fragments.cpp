// SPDX-License-Identifier: Apache-2.0
#include "harness/fragments.hpp"

#include <algorithm>
#include <stdexcept>

namespace bpftest {

namespace {

constexpr std::size_t kHeader = 8;  ///< of an IPv6 fragment

bool is_ipv6(const Frame& frame) {
  return frame.family() == Family::kIpv6;
}

std::size_t data_begin(const Frame& piece) {
  return piece.l4() + (is_ipv6(piece) ? kHeader : 0);
}

std::size_t offset_of(const Frame& piece) {
  return is_ipv6(piece) ? piece.get16(kL46 + 2) & 0xfff8U : (piece.get16(kIp + 6) & 0x1fffU) * 8;
}

bool has_more(const Frame& piece) {
  return (is_ipv6(piece) ? piece.get16(kL46 + 2) & 1U : piece.get16(kIp + 6) & 0x2000U) != 0;
}

}  // namespace

Frame divisible(const Frame& whole, std::uint32_t id) {
  Frame frame = whole;
  if (!is_ipv6(frame)) frame.set16(kIp + 4, id & 0xffff).set16(kIp + 6, 0).fix_checksums();
  return frame;
}

Frame fragment(const Frame& whole, std::uint32_t id, std::size_t begin, std::size_t end) {
  const std::size_t l4 = whole.l4();
  const bool more = l4 + end < whole.size();
  Frame piece(Bytes(whole.bytes.begin(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(l4)));
  piece.bytes.insert(piece.bytes.end(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(l4 + begin),
                     whole.bytes.begin() + static_cast<std::ptrdiff_t>(l4 + end));
  if (is_ipv6(piece)) {
    piece.bytes.insert(piece.bytes.begin() + kL46, kHeader, 0);
    piece.set8(kL46, piece.protocol()).set16(kL46 + 2, static_cast<unsigned>(begin) | (more ? 1U : 0U));
    piece.set32(kL46 + 4, id).set8(kIp + 6, kFragment);
  } else {
    piece.set16(kIp + 4, id & 0xffff).set16(kIp + 6, static_cast<unsigned>(begin / 8) | (more ? 0x2000U : 0U));
  }
  return piece.set_length(static_cast<unsigned>(piece.size() - l4)).fix_checksums();
}

std::vector<Frame> fragments(const Frame& whole, std::uint32_t id, std::size_t size) {
  const std::size_t length = whole.size() - whole.l4();
  std::vector<Frame> pieces;
  for (std::size_t begin = 0; begin < length; begin += size) {
    pieces.push_back(fragment(whole, id, begin, std::min(begin + size, length)));
  }
  return pieces;
}

Frame reassembled(const std::vector<Frame>& pieces) {
  const Frame& first = pieces.at(0);
  Frame whole(Bytes(first.bytes.begin(), first.bytes.begin() + static_cast<std::ptrdiff_t>(first.l4())));
  std::size_t length = 0;
  for (const Frame& piece : pieces) {
    if (offset_of(piece) != length) throw std::runtime_error("a fragment does not begin where the last one ended");
    whole.bytes.insert(whole.bytes.end(), piece.bytes.begin() + static_cast<std::ptrdiff_t>(data_begin(piece)),
                       piece.bytes.end());
    length = whole.size() - whole.l4();
    if (has_more(piece) == (&piece == &pieces.back())) throw std::runtime_error("not the fragments of one packet");
  }
  if (is_ipv6(first)) {
    return whole.set8(kIp + 6, first.get8(kL46)).set_length(static_cast<unsigned>(length));
  }
  // Only the header's own checksum is made anew: it covers the fields that differ.
  whole.set16(kIp + 6, 0).set_length(static_cast<unsigned>(length)).set16(kIp + 10, 0);
  return whole.set16(kIp + 10, checksum(whole.bytes.data() + kIp, 20));
}

}  // namespace bpftest
