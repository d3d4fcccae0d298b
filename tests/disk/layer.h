// The layer's state: which folder, which descriptors are in it, what its trace and its rules say. See layer.cc.
//
// Invariants: everything but `active` is called under the lock.
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

// The C library's function of that name, and its type: of those that it declares without and with `noexcept`.
#define REAL(name) real(#name, name)
#define NAMED(result, name, arguments) static auto* call = reinterpret_cast<result(*) arguments>(dlsym(RTLD_NEXT, #name))

namespace {

template <typename Function>
Function* real(const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

enum Op : uint32_t {
  START = 1, OPEN, WRITE, ZEROS, TRUNCATE, ALLOCATE, RENAME, UNLINK, RMDIR, MKDIR, LINK, SYNC_BEGIN, SYNC_END, SEND,
};

// What a rule can speak of.
enum Kind { CHANGE = 1, SYNC = 2, PACKET = 4, REMOVAL = 8 };

struct Head {
  uint32_t op, path_bytes, data_bytes;
  int32_t result;
  uint64_t file, a, b;
};

struct Rule {
  std::string kind, path, when;
  long from = 1, count = -1, ms = 0, seen = 0;
};

struct State {
  std::string root;
  std::vector<Rule> rules;
  std::vector<std::string> open;  // by descriptor; empty: not below the folder
  pid_t pid = 0;
  int trace = -1;
  bool skip_sync = false;
  uint64_t records = 0;
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
State* state = nullptr;

struct Locked {
  Locked() { pthread_mutex_lock(&lock); }
  ~Locked() { pthread_mutex_unlock(&lock); }
};

void record(Op op, long result, uint64_t file, uint64_t a, uint64_t b, const std::string& path = "",
            const void* data = nullptr, size_t bytes = 0) {
  state->records += 1;
  if (state->trace < 0) return;
  Head head{op, uint32_t(path.size()), uint32_t(bytes), int32_t(result), file, a, b};
  iovec parts[3] = {{&head, sizeof head}, {const_cast<char*>(path.data()), path.size()}, {const_cast<void*>(data), bytes}};
  static auto* write_all = REAL(writev);
  size_t left = sizeof head + path.size() + bytes;
  for (iovec* part = parts; left > 0;) {
    ssize_t done = write_all(state->trace, part, int(parts + 3 - part));
    if (done < 0) {
      static const char what[] = "the disk layer can't write its trace\n";
      static auto* say = REAL(write);
      (void)!say(2, what, sizeof what - 1);
      _exit(125);
    }
    left -= size_t(done);
    for (; part < parts + 3 && size_t(done) >= part->iov_len; part++) done -= ssize_t(part->iov_len);
    if (part < parts + 3) {
      part->iov_base = static_cast<char*>(part->iov_base) + done;
      part->iov_len -= size_t(done);
    }
  }
}

Rule parse_rule(const std::string& text) {
  Rule rule;
  size_t at = 0;
  while (at <= text.size()) {
    size_t end = std::min(text.find(':', at), text.size());
    std::string part = text.substr(at, end - at);
    size_t equals = part.find('=');
    std::string value = equals == std::string::npos ? "" : part.substr(equals + 1);
    std::string key = part.substr(0, equals);
    if (equals == std::string::npos) rule.kind = part;
    else if (key == "path") rule.path = value;
    else if (key == "when") rule.when = value;
    else if (key == "from") rule.from = atol(value.c_str());
    else if (key == "count") rule.count = atol(value.c_str());
    else if (key == "ms") rule.ms = atol(value.c_str());
    at = end + 1;
  }
  return rule;
}

void begin() {
  const char* root = getenv("DISK_ROOT");
  if (root == nullptr || *root == 0) return;
  auto* made = new State;
  made->root = root;
  made->pid = getpid();
  std::string rules = getenv("DISK_RULES") ? getenv("DISK_RULES") : "";
  for (size_t at = 0; at < rules.size();) {
    size_t end = std::min(rules.find(';', at), rules.size());
    if (end > at) made->rules.push_back(parse_rule(rules.substr(at, end - at)));
    at = end + 1;
  }
  const char* sync = getenv("DISK_SYNC");
  made->skip_sync = sync != nullptr && strcmp(sync, "skip") == 0;
  if (const char* trace = getenv("DISK_TRACE")) {
    static auto* open_real = REAL(open);
    made->trace = open_real(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  state = made;
  record(START, 0, 0, uint64_t(made->pid), 0);
}

bool active() {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, begin);
  return state != nullptr && getpid() == state->pid;
}

// The path without "." and "..", where it is below the folder or the folder itself; else empty.
std::string below(int folder, const char* path) {
  if (path == nullptr) return "";
  std::string full = path;
  if (full.empty() || full[0] != '/') {
    char from[4096];
    std::string link = folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/" + std::to_string(folder);
    ssize_t bytes = readlink(link.c_str(), from, sizeof from);
    if (bytes <= 0) return "";
    full = std::string(from, size_t(bytes)) + "/" + full;
  }
  std::vector<std::string> parts;
  for (size_t at = 0; at < full.size();) {
    size_t end = std::min(full.find('/', at), full.size());
    std::string part = full.substr(at, end - at);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    at = end + 1;
  }
  std::string clean;
  for (const auto& part : parts) clean += "/" + part;
  const std::string& root = state->root;
  bool inside = clean.compare(0, root.size(), root) == 0 && (clean.size() == root.size() || clean[root.size()] == '/');
  return inside ? clean : "";
}

// The path that a descriptor was opened by; empty: not below the folder. Under the lock.
const std::string& path_of(int fd) {
  static const std::string none;
  return fd >= 0 && size_t(fd) < state->open.size() ? state->open[size_t(fd)] : none;
}

void set_path(int fd, const std::string& path) {
  if (fd < 0) return;
  if (size_t(fd) >= state->open.size()) {
    if (path.empty()) return;
    state->open.resize(size_t(fd) + 64);
  }
  state->open[size_t(fd)] = path;
}

uint64_t inode_of(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 ? uint64_t(found.st_ino) : 0;
}

bool exists(const char* path) { return !path[0] ? false : access(path, F_OK) == 0; }

void pause_ms(long ms) {
  timespec time{ms / 1000, (ms % 1000) * 1000000};
  nanosleep(&time, nullptr);
}

bool applies(Rule& rule, const std::string& path) {
  if (!rule.path.empty() && path.find(rule.path) == std::string::npos) return false;
  if (!rule.when.empty() && !exists(rule.when.c_str())) return false;
  rule.seen += 1;
  return rule.seen >= rule.from && (rule.count < 0 || rule.seen < rule.from + rule.count);
}

struct Verdict {
  int error = 0;
  bool half = false;  // the first call that finds the disk full still gets a part of it done
  long wait_ms = 0;
  std::string stall;
};

// What the rules say to a call. Under the lock, once for each call.
Verdict judge(Kind kind, const std::string& path) {
  Verdict verdict;
  for (auto& rule : state->rules) {
    const std::string& name = rule.kind;
    int speaks_of = name == "enospc" || name == "eio" ? CHANGE
                    : name == "cut"                   ? CHANGE | SYNC | PACKET | REMOVAL
                    : name == "cut-send"              ? PACKET
                                                      : SYNC;
    if (!(speaks_of & kind) || !applies(rule, path)) continue;
    if (name == "cut" || name == "cut-send") {
      kill(state->pid, SIGKILL);
      for (;;) pause();
    }
    if (name == "enospc") verdict = {ENOSPC, rule.seen == rule.from, 0, ""};
    if (name == "eio" || name == "eio-sync") verdict = {EIO, false, 0, ""};
    if (name == "slow") verdict.wait_ms += rule.ms;
    if (name == "stall") verdict.stall = rule.when;
  }
  return verdict;
}

}  // namespace
