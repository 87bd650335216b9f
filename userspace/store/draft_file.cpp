// SPDX-License-Identifier: Apache-2.0
#include "store/draft_file.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/fd.hpp"

namespace sluice::store {
namespace {

Status sync_folder(const std::filesystem::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return fail_disk("sync " + folder.string());
  return {};
}

}  // namespace

std::unexpected<Error> fail_disk(std::string_view what) {
  const int number = errno;
  const std::string reason = std::string(what) + ": " + std::generic_category().message(number);
  if (number == EROFS) {
    return fail(ErrorCode::kPermission, reason + "; make the disk writable or choose another folder");
  }
  if (number == ENOSPC || number == EDQUOT) return fail(ErrorCode::kExhausted, reason + "; make room on the disk");
  return fail_errno(what, number);
}

std::filesystem::path beside(const std::filesystem::path& file, std::string_view suffix) {
  return file.string().append(suffix);
}

Result<DraftFile> DraftFile::make(const std::filesystem::path& path) {
  DraftFile draft(path);
  draft.remove();
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return fail_disk("make " + path.string());
  return draft;
}

Status DraftFile::move_to(const std::filesystem::path& target, bool replace) {
  const UniqueFd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0) return fail_disk("sync " + path_.string());
  const unsigned flags = replace ? 0 : RENAME_NOREPLACE;
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target.c_str(), flags) != 0) {
    return fail_disk("rename to " + target.string());
  }
  path_.clear();
  return sync_folder(target.has_parent_path() ? target.parent_path() : ".");
}

void DraftFile::remove() const {
  if (path_.empty()) return;
  for (const char* suffix : {"", "-journal", "-wal", "-shm"}) ::unlink(beside(path_, suffix).c_str());
}

}  // namespace sluice::store
