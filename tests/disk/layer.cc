// What a process does to the files below one folder: recorded call by call, ended at a chosen call, or made to fail.
//
// Preloaded into any program (LD_PRELOAD). tests/disk_layer.py compiles it and describes the rules; tests/power_cut.py
// reads the trace and rebuilds the folder as a power cut would have left it.
//
//   DISK_ROOT   the folder, absolute and without symbolic links
//   DISK_TRACE  file that the records are appended to; none: nothing is recorded
//   DISK_RULES  KIND[:key=value]..., separated by ';'
//   DISK_SYNC   "skip": syncs are recorded and count, but the disk is not asked
//
// Invariants: a record is in the trace in the order in which the calls took effect, since both happen under one lock; a
// sync has two records, and covers what was recorded before the first; a child that did not exec is left alone.

#include "layer.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

namespace {

int refused(int error) {
  errno = error;
  return -1;
}

bool all_zero(const char* data, size_t bytes) {
  return bytes > 0 && data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0;
}

void record_write(int fd, off_t at, const void* data, size_t bytes) {
  if (all_zero(static_cast<const char*>(data), bytes)) record(ZEROS, 0, inode_of(fd), uint64_t(at), bytes);
  else record(WRITE, 0, inode_of(fd), uint64_t(at), bytes, "", data, bytes);
}

// A write of one piece; `at` < 0: where the descriptor stands.
template <typename Write>
ssize_t do_write(int fd, const void* data, size_t bytes, off_t at, Write write) {
  Verdict verdict = judge(CHANGE, path_of(fd));
  if (verdict.error != 0) {
    if (!verdict.half || bytes < 2) return refused(verdict.error);
    bytes /= 2;
  }
  ssize_t done = write(data, bytes);
  int kept = errno;
  if (done > 0) record_write(fd, at >= 0 ? at : lseek(fd, 0, SEEK_CUR) - done, data, size_t(done));
  errno = kept;
  return done;
}

template <typename Write>
ssize_t do_writev(int fd, const iovec* parts, int count, off_t at, Write write) {
  std::string all;
  for (int i = 0; i < count; i++) all.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  return do_write(fd, all.data(), all.size(), at, write);
}

template <typename Open>
int do_open(int folder, const char* name, int flags, Open open) {
  if (!active()) return open();
  Locked locked;
  std::string path = below(folder, name);
  if (path.empty()) {
    int fd = open();
    set_path(fd, "");
    return fd;
  }
  bool created = (flags & O_CREAT) && !exists(path.c_str());
  if (created || (flags & O_TRUNC)) {
    Verdict verdict = judge(CHANGE, path);
    if (verdict.error != 0) return refused(verdict.error);
  }
  int fd = open();
  int kept = errno;
  if (fd >= 0) {
    set_path(fd, path);
    record(OPEN, created, inode_of(fd), uint64_t(flags), (flags & O_TRUNC) != 0, path);
  }
  errno = kept;
  return fd;
}

// A call that changes names: first what the rules say, then the call, then its record.
template <typename Call>
int do_name(Op op, int folder, const char* name, int other_folder, const char* other, Call call) {
  if (!active()) return call();
  Locked locked;
  std::string path = below(folder, name), to = other ? below(other_folder, other) : "";
  if (path.empty() && to.empty()) return call();
  Verdict verdict = judge(op == UNLINK || op == RMDIR ? REMOVAL : CHANGE, path);
  if (verdict.error != 0) return refused(verdict.error);
  int result = call();
  int kept = errno;
  if (result == 0) record(op, 0, 0, path.size(), 0, path + to);
  errno = kept;
  return result;
}

template <typename Sync>
int do_sync(int fd, uint64_t how, Sync sync) {
  if (!active()) return sync();
  uint64_t began = 0, inode = inode_of(fd);
  Verdict verdict;
  std::string path;
  {
    Locked locked;
    path = path_of(fd);
    if (!path.empty()) {
      verdict = judge(SYNC, path);
      began = state->records;
      record(SYNC_BEGIN, 0, inode, how, 0, path);
    }
  }
  if (path.empty()) return sync();
  if (verdict.wait_ms > 0) pause_ms(verdict.wait_ms);
  while (!verdict.stall.empty() && exists(verdict.stall.c_str())) pause_ms(5);
  int result = verdict.error != 0 ? refused(verdict.error) : state->skip_sync ? 0 : sync();
  int kept = errno;
  {
    Locked locked;
    record(SYNC_END, result, inode, began, 0, path);
  }
  errno = kept;
  return result;
}

bool is_internet(int fd) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof name;
  return getsockname(fd, reinterpret_cast<sockaddr*>(&name), &bytes) == 0 &&
         (name.ss_family == AF_INET || name.ss_family == AF_INET6);
}

constexpr size_t SENT_BYTES_MAX = 4096;

template <typename Send>
ssize_t do_send(int fd, const iovec* parts, size_t count, Send send) {
  if (!active() || !is_internet(fd)) return send();
  Locked locked;
  judge(PACKET, "");
  std::string all;
  for (size_t i = 0; i < count && all.size() < SENT_BYTES_MAX; i++) {
    size_t bytes = std::min(parts[i].iov_len, SENT_BYTES_MAX - all.size());
    all.append(static_cast<const char*>(parts[i].iov_base), bytes);
  }
  // Recorded before it leaves: whoever gets it may act on it at once.
  record(SEND, 0, uint64_t(fd), 0, all.size(), "", all.data(), all.size());
  return send();
}

template <typename Write>
ssize_t any_write(int fd, const void* data, size_t bytes, off_t at, Write write) {
  if (!active()) return write(data, bytes);
  {
    Locked locked;
    if (!path_of(fd).empty()) return do_write(fd, data, bytes, at, write);
  }
  iovec part{const_cast<void*>(data), bytes};
  return do_send(fd, &part, 1, [&] { return write(data, bytes); });
}

template <typename Write, typename Plain>
ssize_t any_writev(int fd, const iovec* parts, int count, off_t at, Write write, Plain plain) {
  if (!active()) return plain();
  {
    Locked locked;
    if (!path_of(fd).empty()) return do_writev(fd, parts, count, at, write);
  }
  return do_send(fd, parts, size_t(count), plain);
}

int do_resize(int fd, off_t bytes, int (*resize)(int, off_t)) {
  if (!active()) return resize(fd, bytes);
  Locked locked;
  if (path_of(fd).empty()) return resize(fd, bytes);
  Verdict verdict = judge(CHANGE, path_of(fd));
  if (verdict.error != 0) return refused(verdict.error);
  int result = resize(fd, bytes);
  if (result == 0) record(TRUNCATE, 0, inode_of(fd), uint64_t(bytes), 0);
  return result;
}

template <typename Allocate>
int do_allocate(int fd, int mode, off_t at, off_t bytes, bool returns_error, Allocate allocate) {
  if (!active()) return allocate();
  Locked locked;
  if (path_of(fd).empty()) return allocate();
  Verdict verdict = judge(CHANGE, path_of(fd));
  if (verdict.error != 0) return returns_error ? verdict.error : refused(verdict.error);
  int result = allocate();
  if (result == 0) record(ALLOCATE, mode, inode_of(fd), uint64_t(at), uint64_t(bytes));
  return result;
}

int do_dup(int from, int to) {
  if (to >= 0 && active()) {
    Locked locked;
    std::string path = path_of(from);
    set_path(to, path);
  }
  return to;
}

mode_t mode_of(int flags, va_list more) { return (flags & (O_CREAT | O_TMPFILE)) ? mode_t(va_arg(more, int)) : 0; }

}  // namespace

#define OPEN(name)                                                                      \
  int name(const char* path, int flags, ...) {                                          \
    va_list more;                                                                       \
    va_start(more, flags);                                                              \
    mode_t mode = mode_of(flags, more);                                                 \
    va_end(more);                                                                       \
    static auto* call = REAL(name);                                                     \
    return do_open(AT_FDCWD, path, flags, [&] { return call(path, flags, mode); });     \
  }
#define OPENAT(name)                                                                        \
  int name(int folder, const char* path, int flags, ...) {                                  \
    va_list more;                                                                           \
    va_start(more, flags);                                                                  \
    mode_t mode = mode_of(flags, more);                                                     \
    va_end(more);                                                                           \
    static auto* call = REAL(name);                                                         \
    return do_open(folder, path, flags, [&] { return call(folder, path, flags, mode); });   \
  }
#define PWRITE(name, offset)                                                                      \
  ssize_t name(int fd, const void* data, size_t bytes, offset at) {                               \
    static auto* call = REAL(name);                                                               \
    return any_write(fd, data, bytes, at, [=](const void* d, size_t b) { return call(fd, d, b, at); }); \
  }
#define FCNTL(name)                                                       \
  int name(int fd, int command, ...) {                                    \
    va_list more;                                                         \
    va_start(more, command);                                              \
    void* argument = va_arg(more, void*);                                 \
    va_end(more);                                                         \
    static auto* call = REAL(name);                                       \
    int result = call(fd, command, argument);                             \
    bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;       \
    return copies ? do_dup(fd, result) : result;                          \
  }

extern "C" {

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
FCNTL(fcntl)
FCNTL(fcntl64)

int creat(const char* path, mode_t mode) {
  static auto* call = REAL(creat);
  return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, [&] { return call(path, mode); });
}

ssize_t write(int fd, const void* data, size_t bytes) {
  static auto* call = REAL(write);
  return any_write(fd, data, bytes, -1, [=](const void* d, size_t b) { return call(fd, d, b); });
}

ssize_t writev(int fd, const iovec* parts, int count) {
  static auto* call = REAL(writev);
  static auto* one = real("write", write);
  auto whole = [=](const void* d, size_t b) { return one(fd, d, b); };
  return any_writev(fd, parts, count, -1, whole, [=] { return call(fd, parts, count); });
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  static auto* call = REAL(pwritev);
  static auto* one = real("pwrite", pwrite);
  auto whole = [=](const void* d, size_t b) { return one(fd, d, b, at); };
  return any_writev(fd, parts, count, at, whole, [=] { return call(fd, parts, count, at); });
}

ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }

ssize_t pwritev2(int fd, const iovec* parts, int count, off_t at, int flags) {
  static auto* call = REAL(pwritev2);
  auto whole = [=](const void* d, size_t b) {
    iovec part{const_cast<void*>(d), b};
    return call(fd, &part, 1, at, flags);
  };
  return any_writev(fd, parts, count, at, whole, [=] { return call(fd, parts, count, at, flags); });
}
ssize_t pwritev64v2(int fd, const iovec* parts, int count, off64_t at, int flags) {
  return pwritev2(fd, parts, count, at, flags);
}

int fallocate(int fd, int mode, off_t at, off_t bytes) {
  static auto* call = REAL(fallocate);
  return do_allocate(fd, mode, at, bytes, false, [=] { return call(fd, mode, at, bytes); });
}
int fallocate64(int fd, int mode, off64_t at, off64_t bytes) { return fallocate(fd, mode, at, bytes); }

int posix_fallocate(int fd, off_t at, off_t bytes) {
  static auto* call = REAL(posix_fallocate);
  return do_allocate(fd, 0, at, bytes, true, [=] { return call(fd, at, bytes); });
}
int posix_fallocate64(int fd, off64_t at, off64_t bytes) { return posix_fallocate(fd, at, bytes); }


int rename(const char* from, const char* to) noexcept {
  NAMED(int, rename, (const char*, const char*));
  return do_name(RENAME, AT_FDCWD, from, AT_FDCWD, to, [=] { return call(from, to); });
}
int renameat(int folder, const char* from, int other, const char* to) noexcept {
  NAMED(int, renameat, (int, const char*, int, const char*));
  return do_name(RENAME, folder, from, other, to, [=] { return call(folder, from, other, to); });
}
int renameat2(int folder, const char* from, int other, const char* to, unsigned flags) noexcept {
  NAMED(int, renameat2, (int, const char*, int, const char*, unsigned));
  return do_name(RENAME, folder, from, other, to, [=] { return call(folder, from, other, to, flags); });
}
int link(const char* from, const char* to) noexcept {
  NAMED(int, link, (const char*, const char*));
  return do_name(LINK, AT_FDCWD, from, AT_FDCWD, to, [=] { return call(from, to); });
}
int linkat(int folder, const char* from, int other, const char* to, int flags) noexcept {
  NAMED(int, linkat, (int, const char*, int, const char*, int));
  return do_name(LINK, folder, from, other, to, [=] { return call(folder, from, other, to, flags); });
}
int unlink(const char* path) noexcept {
  NAMED(int, unlink, (const char*));
  return do_name(UNLINK, AT_FDCWD, path, 0, nullptr, [=] { return call(path); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  NAMED(int, unlinkat, (int, const char*, int));
  Op op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
  return do_name(op, folder, path, 0, nullptr, [=] { return call(folder, path, flags); });
}
int rmdir(const char* path) noexcept {
  NAMED(int, rmdir, (const char*));
  return do_name(RMDIR, AT_FDCWD, path, 0, nullptr, [=] { return call(path); });
}
int remove(const char* path) noexcept {
  struct stat found;
  return lstat(path, &found) == 0 && S_ISDIR(found.st_mode) ? rmdir(path) : unlink(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  NAMED(int, mkdir, (const char*, mode_t));
  return do_name(MKDIR, AT_FDCWD, path, 0, nullptr, [=] { return call(path, mode); });
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  NAMED(int, mkdirat, (int, const char*, mode_t));
  return do_name(MKDIR, folder, path, 0, nullptr, [=] { return call(folder, path, mode); });
}

int ftruncate(int fd, off_t bytes) noexcept {
  NAMED(int, ftruncate, (int, off_t));
  return do_resize(fd, bytes, call);
}
int ftruncate64(int fd, off64_t bytes) noexcept { return ftruncate(fd, bytes); }
int truncate(const char* path, off_t bytes) noexcept {
  NAMED(int, truncate, (const char*, off_t));
  if (!active()) return call(path, bytes);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = ftruncate(fd, bytes), kept = errno;
  close(fd);
  errno = kept;
  return result;
}
int truncate64(const char* path, off64_t bytes) noexcept { return truncate(path, bytes); }

int fsync(int fd) {
  static auto* call = REAL(fsync);
  return do_sync(fd, 1, [=] { return call(fd); });
}
int fdatasync(int fd) {
  static auto* call = REAL(fdatasync);
  return do_sync(fd, 2, [=] { return call(fd); });
}

int close(int fd) {
  static auto* call = REAL(close);
  if (!active()) return call(fd);
  Locked locked;
  set_path(fd, "");
  return call(fd);
}
// A stream closes its descriptor out of this layer's sight.
int fclose(FILE* stream) {
  static auto* call = REAL(fclose);
  if (!active()) return call(stream);
  Locked locked;
  set_path(fileno(stream), "");
  return call(stream);
}
int closedir(DIR* stream) {
  static auto* call = REAL(closedir);
  if (!active()) return call(stream);
  Locked locked;
  set_path(dirfd(stream), "");
  return call(stream);
}
int dup(int fd) noexcept {
  NAMED(int, dup, (int));
  return do_dup(fd, call(fd));
}
int dup2(int fd, int to) noexcept {
  NAMED(int, dup2, (int, int));
  return do_dup(fd, call(fd, to));
}
int dup3(int fd, int to, int flags) noexcept {
  NAMED(int, dup3, (int, int, int));
  return do_dup(fd, call(fd, to, flags));
}

ssize_t send(int fd, const void* data, size_t bytes, int flags) {
  static auto* call = REAL(send);
  iovec part{const_cast<void*>(data), bytes};
  return do_send(fd, &part, 1, [=] { return call(fd, data, bytes, flags); });
}
ssize_t sendto(int fd, const void* data, size_t bytes, int flags, const sockaddr* to, socklen_t to_bytes) {
  static auto* call = REAL(sendto);
  iovec part{const_cast<void*>(data), bytes};
  return do_send(fd, &part, 1, [=] { return call(fd, data, bytes, flags, to, to_bytes); });
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static auto* call = REAL(sendmsg);
  return do_send(fd, message->msg_iov, message->msg_iovlen, [=] { return call(fd, message, flags); });
}
int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  static auto* call = REAL(sendmmsg);
  size_t parts = count > 0 ? messages[0].msg_hdr.msg_iovlen : 0;
  iovec* first = count > 0 ? messages[0].msg_hdr.msg_iov : nullptr;
  return int(do_send(fd, first, parts, [=] { return ssize_t(call(fd, messages, count, flags)); }));
}

}  // extern "C"
