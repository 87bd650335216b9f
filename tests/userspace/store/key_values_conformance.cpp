// SPDX-License-Identifier: Apache-2.0
#include "key_values_conformance.hpp"

#include <atomic>
#include <thread>

namespace sluice::store {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(KeyValuesConformance);

CommitReply KeyValuesConformance::commit(std::vector<Compare> compares, std::vector<Operation> operations) {
  auto reply = store_->commit({std::move(compares), std::move(operations)});
  if (reply) return *reply;
  ADD_FAILURE() << reply.error().message;
  return {};
}

std::uint64_t KeyValuesConformance::put(const std::string& key, const std::string& value) {
  return commit({}, {put_of(key, value)}).revision;
}

std::uint64_t KeyValuesConformance::erase(const std::string& key) {
  return commit({}, {erase_of(key)}).revision;
}

std::vector<KeyValue> KeyValuesConformance::items(const std::string& prefix) {
  auto range = store_->range(prefix);
  if (range) return range->items;
  ADD_FAILURE() << range.error().message;
  return {};
}

std::vector<std::string> KeyValuesConformance::keys(const std::string& prefix) {
  std::vector<std::string> result;
  for (const KeyValue& item : items(prefix)) result.push_back(item.key);
  return result;
}

std::vector<Event> KeyValuesConformance::changes(const Position& after, std::size_t limit) {
  auto changes = store_->changes(after, limit);
  if (changes) return changes->events;
  ADD_FAILURE() << changes.error().message;
  return {};
}

std::uint64_t KeyValuesConformance::revision() {
  return store_->revision().value();
}

namespace {

using Texts = std::vector<std::string>;

TEST_P(KeyValuesConformance, BeginsEmptyAtRevisionZero) {
  EXPECT_EQ(revision(), 0U);
  EXPECT_EQ(store_->compacted().value(), 0U);
  EXPECT_TRUE(items("").empty());
  EXPECT_TRUE(changes(0).empty());
  EXPECT_NE(store_->identity().uuid, (std::array<std::uint8_t, 16>{}));
  EXPECT_GE(store_->identity().epoch, 1U);
}

TEST_P(KeyValuesConformance, CountsEachTransactionOnceAndKeepsWhenAKeyWasMadeAndChanged) {
  EXPECT_EQ(put("a", "1"), 1U);
  EXPECT_EQ(commit({}, {put_of("b", "2"), put_of("a", "3")}).revision, 2U);
  EXPECT_EQ(items(""), (std::vector<KeyValue>{{"a", "3", 1, 2}, {"b", "2", 2, 2}}));
  EXPECT_EQ(store_->range("").value().revision, 2U);
  EXPECT_EQ(put("a", "3"), 3U) << "the same value counts as a change";
  EXPECT_EQ(items("a"), (std::vector<KeyValue>{{"a", "3", 1, 3}}));
}

TEST_P(KeyValuesConformance, MakesADeletedKeyAnew) {
  put("a", "1");
  EXPECT_EQ(erase("a"), 2U);
  EXPECT_TRUE(items("").empty());
  EXPECT_EQ(put("a", "2"), 3U);
  EXPECT_EQ(items("a"), (std::vector<KeyValue>{{"a", "2", 3, 3}}));
}

TEST_P(KeyValuesConformance, MakesNoRevisionWhereNothingChanges) {
  put("a", "1");
  const CommitReply nothing = commit({}, {erase_of("x"), erase_of("y")});
  EXPECT_TRUE(nothing.committed);
  EXPECT_EQ(nothing.revision, 1U);
  EXPECT_TRUE(commit({{"a", 1}}, {}).committed);
  EXPECT_EQ(revision(), 1U);
  const CommitReply half = commit({}, {erase_of("a"), erase_of("x")});
  EXPECT_EQ(half.revision, 2U);
  EXPECT_EQ(changes(1).size(), 1U) << "no event for a key that was not there";
}

TEST_P(KeyValuesConformance, ListsEveryFailingComparisonWithThePresentValueAndChangesNothing) {
  put("a", "1");
  put("b", "2");
  const CommitReply reply =
      commit({{"a", 1}, {"b", 1}, {"gone", 7}, {"new", 0}, {"a", 0}}, {put_of("a", "x"), put_of("new", "x")});
  EXPECT_FALSE(reply.committed);
  EXPECT_EQ(reply.revision, 2U);
  EXPECT_EQ(reply.conflicts, (std::vector<KeyValue>{{"b", "2", 2, 2}, {"gone", "", 0, 0}, {"a", "1", 1, 1}}));
  EXPECT_EQ(items(""), (std::vector<KeyValue>{{"a", "1", 1, 1}, {"b", "2", 2, 2}}));
  EXPECT_EQ(revision(), 2U);
  EXPECT_FALSE(commit({{"a", 7}}, {}).committed) << "also without operations";
  EXPECT_TRUE(commit({{"a", 1}, {"new", 0}}, {put_of("a", "x")}).committed);
}

TEST_P(KeyValuesConformance, ListsAPrefixInTheOrderOfTheBytes) {
  const std::string zero("a\0b", 3);
  for (const std::string& key :
       Texts{"b", "a", "a/2", "a/1", "a0", zero, "a\xFF", "a\xFF\xFF/1", "\xFF", "\xFF\xFFz"}) {
    put(key, "v");
  }
  EXPECT_EQ(keys("a/"), (Texts{"a/1", "a/2"}));
  EXPECT_EQ(keys("a"), (Texts{"a", zero, "a/1", "a/2", "a0", "a\xFF", "a\xFF\xFF/1"}));
  EXPECT_EQ(keys("a\xFF"), (Texts{"a\xFF", "a\xFF\xFF/1"}));
  EXPECT_EQ(keys("\xFF"), (Texts{"\xFF", "\xFF\xFFz"}));
  EXPECT_EQ(keys("\xFF\xFF"), (Texts{"\xFF\xFFz"}));
  EXPECT_EQ(keys("").size(), 10U);
  EXPECT_EQ(keys("").front(), "a");
  EXPECT_TRUE(keys("c").empty());
}

TEST_P(KeyValuesConformance, KeepsEmptyAndBinaryValues) {
  const std::string binary("\0\xFF'\"\n", 5);
  put("empty", "");
  put("binary", binary);
  EXPECT_EQ(items(""), (std::vector<KeyValue>{{"binary", binary, 2, 2}, {"empty", "", 1, 1}}));
  EXPECT_EQ(changes(1).front().now.value, binary);
}

TEST_P(KeyValuesConformance, TellsChangesInTheOrderOfRevisionsAndKeysWithWhatWasBefore) {
  commit({}, {put_of("b", "1"), put_of("a", "2")});
  commit({}, {put_of("c", "3"), erase_of("a"), put_of("b", "4")});
  EXPECT_EQ(changes(0), (std::vector<Event>{{1, false, {"a", "2", 1, 1}, ""},
                                            {1, false, {"b", "1", 1, 1}, ""},
                                            {2, true, {"a", "", 0, 2}, "2"},
                                            {2, false, {"b", "4", 1, 2}, "1"},
                                            {2, false, {"c", "3", 2, 2}, ""}}));
}

TEST_P(KeyValuesConformance, ResumesFromAnyRevision) {
  for (int i = 1; i <= 30; i++) commit({}, {put_of("a", std::to_string(i)), put_of("b", std::to_string(i))});
  for (std::uint64_t from = 0; from <= 30; from++) {
    const auto rest = changes(from);
    ASSERT_EQ(rest.size(), 2 * (30 - from));
    if (!rest.empty()) {
      EXPECT_EQ(rest.front().revision, from + 1);
    }
    EXPECT_EQ(store_->changes(from, 1000).value().next, Position(30));
  }
}

TEST_P(KeyValuesConformance, ReadsOnFromWhereTheLimitHasCutARevision) {
  for (int i = 1; i <= 3; i++) {
    std::vector<Operation> set;
    for (int k = 0; k < 5; k++) set.push_back(put_of("k" + std::to_string(k), std::to_string(i)));
    commit({}, std::move(set));
  }
  const std::vector<Event> all = changes(0);
  ASSERT_EQ(all.size(), 15U);
  for (const std::size_t limit : {0UL, 1UL, 2UL, 3UL, 5UL, 7UL, 15UL, 16UL}) {
    std::vector<Event> pieces;
    Position position(0);
    while (true) {
      const auto part = store_->changes(position, limit);
      ASSERT_TRUE(part) << part.error().message;
      if (part->events.empty()) break;
      EXPECT_LE(part->events.size(), std::max(limit, 1UL));
      const Event& last = part->events.back();
      EXPECT_EQ(part->next, last.now.key == "k4" ? Position(last.revision) : Position(last.revision, last.now.key));
      pieces.insert(pieces.end(), part->events.begin(), part->events.end());
      position = part->next;
    }
    EXPECT_EQ(pieces, all) << "limit " << limit;
    EXPECT_EQ(position, Position(3));
  }
  EXPECT_EQ(changes({2, "k4"}).size(), 5U) << "that was all of it";
  EXPECT_TRUE(changes({3, "k4"}).empty());
  ASSERT_TRUE(store_->compact(2));
  EXPECT_EQ(store_->changes({2, "k1"}, 9).error().code, ErrorCode::kOutOfRange) << "the rest has gone";
  EXPECT_EQ(changes(2).size(), 5U);
}

TEST_P(KeyValuesConformance, RefusesChangesThatAreCompactedOrNotMade) {
  for (int i = 1; i <= 10; i++) put("a", std::to_string(i));
  EXPECT_EQ(store_->changes(11, 9).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(store_->compact(11).error().code, ErrorCode::kOutOfRange);
  ASSERT_TRUE(store_->compact(4));
  ASSERT_TRUE(store_->compact(2)) << "what is forgotten already stays so";
  EXPECT_EQ(store_->compacted().value(), 4U);
  EXPECT_EQ(store_->changes(3, 9).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(changes(4).size(), 6U);
  EXPECT_EQ(items("").size(), 1U) << "the present values stay";
  ASSERT_TRUE(store_->compact(10));
  EXPECT_TRUE(changes(10).empty());
  EXPECT_EQ(put("a", "x"), 11U);
  EXPECT_EQ(changes(10).front().before, "10");
}

TEST_P(KeyValuesConformance, RefusesWhatIsAboveALimitAndChangesNothing) {
  const auto refusal = [this](std::vector<Operation> operations) {
    const auto reply = store_->commit({{}, std::move(operations)});
    return reply ? "was not refused" : std::string(name(reply.error().code));
  };
  const std::string exhausted(name(ErrorCode::kExhausted));
  const std::string invalid(name(ErrorCode::kInvalid));
  EXPECT_EQ(refusal({put_of("a", "1"), put_of(std::string(kMaxKeyBytes + 1, 'k'), "")}), exhausted);
  EXPECT_EQ(refusal({put_of("a", "1"), put_of("b", std::string(kMaxValueBytes + 1, 'v'))}), exhausted);
  std::vector<Operation> many;
  for (std::size_t i = 0; i <= kMaxOperations; i++) many.push_back(put_of(std::to_string(i), ""));
  EXPECT_EQ(refusal(std::move(many)), exhausted);
  EXPECT_EQ(refusal({put_of("a", "1"), erase_of("b"), put_of("a", "2")}), invalid);
  EXPECT_EQ(refusal({put_of("", "1")}), invalid);
  EXPECT_EQ(revision(), 0U);
  const std::string key(kMaxKeyBytes, 'k');
  const std::string value(kMaxValueBytes, 'v');
  put(key, value);
  EXPECT_EQ(items(key), (std::vector<KeyValue>{{key, value, 1, 1}}));
}

TEST_P(KeyValuesConformance, LosesNoUpdateOfCountersThatSeveralThreadsCompareAndSet) {
  constexpr int kThreads = 4;
  constexpr int kEach = 50;
  put("counter", "0");
  std::atomic<int> conflicts = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([this, &conflicts] {
      for (int done = 0; done < kEach;) {
        const KeyValue old = store_->range("counter").value().items.front();
        const std::string next = std::to_string(std::stoi(old.value) + 1);
        const auto reply = store_->commit({{{"counter", old.modified}}, {put_of("counter", next)}});
        ASSERT_TRUE(reply) << reply.error().message;
        reply->committed ? done++ : conflicts++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(items("counter").front().value, std::to_string(kThreads * kEach));
  EXPECT_EQ(revision(), 1U + kThreads * kEach);
  RecordProperty("conflicts", conflicts);
}

TEST_P(KeyValuesConformance, ShowsReadersWholeTransactionsOnly) {
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; t++) {
    readers.emplace_back([this, &done] {
      std::uint64_t seen = 0;
      while (!done || seen < 200) {
        const auto range = store_->range("pair/");
        ASSERT_TRUE(range) << range.error().message;
        ASSERT_TRUE(range->items.empty() || range->items[0].value == range->items[1].value);
        const auto events = store_->changes(seen, 10);
        ASSERT_TRUE(events) << events.error().message;
        for (const Event& event : events->events) {
          ASSERT_TRUE(event.revision == seen || event.revision == seen + 1) << "a gap";
          seen = event.revision;
        }
      }
    });
  }
  for (int i = 0; i < 200; i++) commit({}, {put_of("pair/a", std::to_string(i)), put_of("pair/b", std::to_string(i))});
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(revision(), 200U);
}

}  // namespace
}  // namespace sluice::store
