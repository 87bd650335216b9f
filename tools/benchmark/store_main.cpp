// SPDX-License-Identifier: Apache-2.0
// sluice_store_benchmark: writes to a store and opens it again. Called by tools/bench store.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "exit_status.hpp"
#include "store/repository.hpp"
#include "store/sqlite_key_values.hpp"
#include "store_report.hpp"
#include "timing.hpp"

namespace sluice::benchmark {
namespace {

namespace fs = std::filesystem;
constexpr unsigned kPodsOfNetwork = 1000;

struct Options {
  std::string folder = "/var/tmp";
  bool json = false;
  unsigned objects = 100'000;
  unsigned set = 1000;
  unsigned writes = 2000;
  unsigned loads = 5;
};

/// A folder that goes with the run.
class Folder {
 public:
  static Result<std::unique_ptr<Folder>> make(const std::string& parent) {
    std::string pattern = parent + "/sluice-bench-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) return fail_errno("make a folder in " + parent);
    return std::unique_ptr<Folder>(new Folder(pattern));
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  explicit Folder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

store::WriteRequest::Edit put(model::Resource resource) {
  const model::Key key = model::key_of(resource);
  return {{key, std::move(resource)}, std::nullopt};
}

model::Resource pod(unsigned number, const std::string& version) {
  model::Pod made;
  made.name = {"network-" + std::to_string(number / kPodsOfNetwork), "pod-" + std::to_string(number)};
  made.labels = {{"app", "app-" + std::to_string(number % 50)}, {"version", version}};
  made.ports = {{"http", {8080, model::Protocol::kTcp}}};
  return made;
}

class Bench {
 public:
  Bench(const Options& options, StoreFigures& figures) : options_(options), figures_(figures) {}
  Status run();

 private:
  Result<double> write(std::vector<store::WriteRequest::Edit> edits);
  Status open();
  Status fill();
  Status write_one_by_one();
  Status load();

  Options options_;
  StoreFigures& figures_;
  std::unique_ptr<Folder> folder_;
  std::unique_ptr<store::Repository> repository_;
};

Result<double> Bench::write(std::vector<store::WriteRequest::Edit> edits) {
  store::WriteRequest request;
  request.edits = std::move(edits);
  const auto begin = Clock::now();
  const auto reply = repository_->write(std::move(request));
  const double took = milliseconds(Clock::now() - begin);
  if (!reply) return std::unexpected(reply.error());
  return took;
}

Status Bench::open() {
  auto key_values = store::SqliteKeyValues::open(folder_->path());
  if (!key_values) return std::unexpected(key_values.error());
  auto repository = store::Repository::open(std::move(*key_values), {});
  if (!repository) return std::unexpected(repository.error());
  repository_ = std::move(*repository);
  return {};
}

/// All objects, in sets.
Status Bench::fill() {
  std::vector<store::WriteRequest::Edit> networks;
  for (unsigned i = 0; i * kPodsOfNetwork < options_.objects; i++) {
    model::Network network;
    network.name = "network-" + std::to_string(i);
    networks.push_back(put(std::move(network)));
  }
  const auto count = static_cast<unsigned>(networks.size());
  if (const auto took = write(std::move(networks)); !took) return std::unexpected(took.error());
  for (unsigned done = count; done < options_.objects;) {
    std::vector<store::WriteRequest::Edit> edits;
    for (; edits.size() < options_.set && done < options_.objects; done++) edits.push_back(put(pod(done - count, "1")));
    const auto size = static_cast<unsigned>(edits.size());
    const auto took = write(std::move(edits));
    if (!took) return std::unexpected(took.error());
    figures_.set_milliseconds.push_back(*took);
    figures_.written_in_sets += size;
  }
  return {};
}

Status Bench::write_one_by_one() {
  for (unsigned i = 0; i < options_.writes; i++) {
    // Spread over the tree, as changes of pods are.
    const unsigned number = static_cast<unsigned>((std::uint64_t{i} * 7919) % figures_.written_in_sets);
    const auto took = write({put(pod(number, "2-" + std::to_string(i)))});
    if (!took) return std::unexpected(took.error());
    figures_.write_milliseconds.push_back(*took);
  }
  return {};
}

/// As at the daemon's start: the whole file is checked, then read.
Status Bench::load() {
  for (unsigned i = 0; i < options_.loads; i++) {
    repository_.reset();
    const auto begin = Clock::now();
    auto key_values = store::SqliteKeyValues::open(folder_->path());
    const auto checked = Clock::now();
    if (!key_values) return std::unexpected(key_values.error());
    auto repository = store::Repository::open(std::move(*key_values), {});
    const auto loaded = Clock::now();
    if (!repository) return std::unexpected(repository.error());
    repository_ = std::move(*repository);
    figures_.check_milliseconds.push_back(milliseconds(checked - begin));
    figures_.load_milliseconds.push_back(milliseconds(loaded - begin));
  }
  return {};
}

Status Bench::run() {
  auto folder = Folder::make(options_.folder);
  if (!folder) return std::unexpected(folder.error());
  folder_ = std::move(*folder);
  if (auto done = measure_disk(folder_->path(), figures_); !done) return done;
  if (auto done = open(); !done) return done;
  if (auto done = fill(); !done) return done;
  if (auto done = write_one_by_one(); !done) return done;
  if (auto done = load(); !done) return done;
  figures_.file_bytes = fs::file_size(folder_->path() / "store.db");
  repository_.reset();
  return {};
}

Status measure(const Options& options) {
  StoreFigures figures;
  figures.environment = read_environment();
  figures.folder = options.folder;
  figures.objects = options.objects;
  figures.set = options.set;
  if (auto done = Bench(options, figures).run(); !done) return done;
  (options.json ? print_json : print_table)(std::cout, figures);
  return {};
}

}  // namespace
}  // namespace sluice::benchmark

int main(int argc, char** argv) {
  using namespace sluice::benchmark;
  Options options;
  CLI::App app("Fills a store of its own, changes it one by one and opens it again.");
  app.add_flag("--json", options.json, "print JSON");
  app.add_option("--folder", options.folder, "where the store is made; the disk below it is what is measured")
      ->check(CLI::ExistingDirectory);
  app.add_option("--objects", options.objects, "networks and pods in the store")->check(CLI::Range(2000, 1'000'000));
  app.add_option("--set", options.set, "objects in a set")->check(CLI::Range(1, 100'000));
  app.add_option("--writes", options.writes, "single writes")->check(CLI::Range(10, 1'000'000));
  app.add_option("--loads", options.loads, "times that the store is opened")->check(CLI::Range(1, 100));
  CLI11_PARSE(app, argc, argv);
  return exit_status("sluice_store_benchmark", measure(options));
}
