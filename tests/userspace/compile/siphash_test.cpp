// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3 against a second implementation, written byte by byte from the paper for any length and any number of
// rounds. Its SipHash-2-4 form is checked with the vectors that the paper and its reference give, so a misread round
// cannot hide in both.
#include <gtest/gtest.h>
#include <sluice/select.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace {

std::uint64_t rotate(std::uint64_t value, int bits) {
  for (int i = 0; i < bits; i++) value = (value * 2) + (value >= 0x8000000000000000 ? 1 : 0);
  return value;
}

struct SlowSipHash {
  std::array<std::uint64_t, 4> v{};

  void round() {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
  }

  static std::uint64_t hash(const std::vector<std::uint8_t>& key, const std::vector<std::uint8_t>& text,
                            int rounds_per_word, int last_rounds) {
    const auto word = [](const std::vector<std::uint8_t>& bytes, std::size_t at) {
      std::uint64_t value = 0;
      for (std::size_t i = 0; i < 8; i++) value += std::uint64_t{bytes.at(at + i)} << (8 * i);
      return value;
    };
    const std::uint64_t k0 = word(key, 0);
    const std::uint64_t k1 = word(key, 8);
    const auto ascii = [&word](const char* eight) { return word({eight, eight + 8}, 0); };
    // The constants are the letters of "somepseudorandomlygeneratedbytes", read as big-endian words.
    const auto constant = [&ascii](const char* eight) { return __builtin_bswap64(ascii(eight)); };
    SlowSipHash state{
        {k0 ^ constant("somepseu"), k1 ^ constant("dorandom"), k0 ^ constant("lygenera"), k1 ^ constant("tedbytes")}};
    std::vector<std::uint8_t> padded = text;
    while (padded.size() % 8 != 7) padded.push_back(0);
    padded.push_back(static_cast<std::uint8_t>(text.size() % 256));
    for (std::size_t at = 0; at < padded.size(); at += 8) {
      const std::uint64_t m = word(padded, at);
      state.v[3] ^= m;
      for (int i = 0; i < rounds_per_word; i++) state.round();
      state.v[0] ^= m;
    }
    state.v[2] ^= 0xff;
    for (int i = 0; i < last_rounds; i++) state.round();
    return state.v[0] ^ state.v[1] ^ state.v[2] ^ state.v[3];
  }
};

std::vector<std::uint8_t> counting(std::size_t length) {
  std::vector<std::uint8_t> bytes(length);
  for (std::size_t i = 0; i < length; i++) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

TEST(SlowSipHash, GivesThePublishedVectorsOfSipHash24) {
  EXPECT_EQ(SlowSipHash::hash(counting(16), counting(0), 2, 4), 0x726fdb47dd0e0e31U);
  EXPECT_EQ(SlowSipHash::hash(counting(16), counting(15), 2, 4), 0xa129ca6149be45e5U);
}

TEST(SipHash13, EqualsTheSlowImplementationOnRandomKeysAndWords) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; i++) {
    const std::array<__u64, 2> secret = {random(), random()};
    const std::array<__u64, 2> words = {random(), random()};
    std::vector<std::uint8_t> key(16);
    std::vector<std::uint8_t> text(16);
    std::memcpy(key.data(), secret.data(), 16);
    std::memcpy(text.data(), words.data(), 16);
    ASSERT_EQ(sluice_siphash13(secret.data(), words.data(), 2), SlowSipHash::hash(key, text, 1, 3));
  }
}

TEST(SipHash13, GivesOneKnownValueForEver) {
  std::array<__u64, 2> secret{};
  std::array<__u64, 2> words{};
  std::memcpy(secret.data(), counting(16).data(), 16);
  std::memcpy(words.data(), counting(16).data(), 16);
  EXPECT_EQ(sluice_siphash13(secret.data(), words.data(), 2), SlowSipHash::hash(counting(16), counting(16), 1, 3));
  EXPECT_EQ(sluice_siphash13(secret.data(), words.data(), 2), 0xcc4fdd1a7d908b66U);
}

TEST(FlowHash, HashesTheBytesOfTheFlowKey) {
  const std::array<__u64, 2> secret = {0x0123456789abcdef, 0xfedcba9876543210};
  const sluice_flow4_key key = {0x00abcdef | 6U << 24, 0x0200a8c0, 0x0100000a, 0x3930, 0x5000};
  std::vector<std::uint8_t> text(sizeof(key));
  std::memcpy(text.data(), &key, sizeof(key));
  std::vector<std::uint8_t> secret_bytes(16);
  std::memcpy(secret_bytes.data(), secret.data(), 16);
  EXPECT_EQ(sluice_flow_hash(secret.data(), 0x00abcdef, key.source, key.destination, key.source_port,
                             key.destination_port, 6),
            SlowSipHash::hash(secret_bytes, text, 1, 3));
}

TEST(FlowHash, DependsOnEveryFieldAndTheSecret) {
  const std::array<__u64, 2> secret = {1, 2};
  const std::array<__u64, 2> other = {1, 3};
  const __u64 base = sluice_flow_hash(secret.data(), 1, 2, 3, 4, 5, 6);
  EXPECT_NE(base, sluice_flow_hash(other.data(), 1, 2, 3, 4, 5, 6));
  EXPECT_NE(base, sluice_flow_hash(secret.data(), 9, 2, 3, 4, 5, 6));
  EXPECT_NE(base, sluice_flow_hash(secret.data(), 1, 9, 3, 4, 5, 6));
  EXPECT_NE(base, sluice_flow_hash(secret.data(), 1, 2, 9, 4, 5, 6));
  EXPECT_NE(base, sluice_flow_hash(secret.data(), 1, 2, 3, 9, 5, 6));
  EXPECT_NE(base, sluice_flow_hash(secret.data(), 1, 2, 3, 4, 9, 6));
  EXPECT_NE(base, sluice_flow_hash(secret.data(), 1, 2, 3, 4, 5, 17));
}

TEST(SourceHash, IgnoresNothingButPortsAndProtocol) {
  const std::array<__u64, 2> secret = {1, 2};
  const __u64 base = sluice_source_hash(secret.data(), 1, 2, 3);
  EXPECT_EQ(base, sluice_flow_hash(secret.data(), 1, 2, 3, 0, 0, 0));
  EXPECT_NE(base, sluice_source_hash(secret.data(), 9, 2, 3));
  EXPECT_NE(base, sluice_source_hash(secret.data(), 1, 9, 3));
  EXPECT_NE(base, sluice_source_hash(secret.data(), 1, 2, 9));
}

TEST(RingSlot, IsAlwaysBelowTheSizeAndAFunctionOfTheFirstSlotAndTheAttempt) {
  std::mt19937_64 random(2);
  for (const __u32 size : {251U, 1021U, 131071U, 8388593U}) {
    for (int i = 0; i < 1000; i++) {
      const __u64 hash = random();
      const __u64 neighbour = hash ^ (random() & 0xffff);  // the low bits never count
      for (__u32 attempt = 0; attempt <= SLUICE_SELECT_ATTEMPTS; attempt++) {
        ASSERT_LT(sluice_ring_slot(hash, attempt, size), size);
        ASSERT_EQ(sluice_ring_slot(hash, attempt, size), sluice_ring_slot(neighbour, attempt, size));
      }
      ASSERT_LT(sluice_ring_slot(~__u64{0}, 0, size), size);
    }
  }
}

}  // namespace
