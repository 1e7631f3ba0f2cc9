/*
 * Preloaded into a node, appends to the file that RECORDER_JOURNAL names what the node does to the files under the directory
 * that RECORDER_ROOT names: see journal.ts for the records. A record is appended when the call has succeeded and before
 * it returns, so whatever the node does because of a sync comes later in the journal than the sync.
 *
 * A process ends itself as by kill -9, right after a record, once there is a file named as the journal with ".kill-<pid>"
 * behind it: a signal from outside could come between a call and its record. It waits for its other threads to be there as well.
 *
 * Only calls that SQLite and Node make of a data directory are here. What they don't know of shows: the journal then no
 * longer explains the files (recording.ts).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE_FILE = 1, CREATE_DIRECTORY, REMOVE, WRITE, TRUNCATE, SYNC, RENAME };

struct header {
  uint32_t kind, length; /* length: of what follows, a path or the bytes written */
  uint64_t inode, at;    /* at: where the bytes were written, or the new size */
};

static int journal = -1;
static const char *root;
static char killSwitch[PATH_MAX];

/* Read by each thread from a call to its record, written by the one that ends the process. */
static pthread_rwlock_t underWay = PTHREAD_RWLOCK_INITIALIZER;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("RECORDER_JOURNAL");
  root = getenv("RECORDER_ROOT");
  if (path == NULL || root == NULL) return;
  journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC);
  snprintf(killSwitch, sizeof killSwitch, "%s.kill-%d", path, getpid());
}

/* In one call, which the kernel appends whole, whichever processes do so at once. */
static void record(enum kind kind, uint64_t inode, uint64_t at, const void *bytes, size_t length) {
  int before = errno;
  struct header header = {kind, length, inode, at};
  struct iovec parts[] = {{&header, sizeof header}, {(void *)bytes, length}};
  if (syscall(SYS_writev, journal, parts, 2) != (ssize_t)(sizeof header + length)) abort();
  if (access(killSwitch, F_OK) == 0) {
    pthread_rwlock_unlock(&underWay);
    pthread_rwlock_wrlock(&underWay);
    raise(SIGKILL);
  }
  errno = before;
}

static int isUnderRoot(const char *path) {
  size_t length = root == NULL ? 0 : strlen(root);
  return journal >= 0 && strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* 1 when the descriptor is of a file or directory to be recorded. */
static int isRecorded(int fd, struct stat *status) {
  int before = errno;
  char link[64], path[PATH_MAX] = {0};
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int recorded = journal >= 0 && fstat(fd, status) == 0 && (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)) &&
                 readlink(link, path, sizeof path - 1) > 0 && isUnderRoot(path);
  errno = before;
  return recorded;
}

static void begin(void) { pthread_rwlock_rdlock(&underWay); }

static void end(void) { pthread_rwlock_unlock(&underWay); }

static int openRecorded(int directory, const char *path, int flags, mode_t mode) {
  struct stat before, after;
  int changes = (flags & (O_CREAT | O_TRUNC)) != 0 && isUnderRoot(path);
  if (!changes) return syscall(SYS_openat, directory, path, flags, mode);
  begin();
  int existed = stat(path, &before) == 0;
  int fd = syscall(SYS_openat, directory, path, flags, mode);
  if (fd >= 0 && isRecorded(fd, &after)) {
    if (!existed) record(CREATE_FILE, after.st_ino, 0, path, strlen(path));
    else if ((flags & O_TRUNC) != 0 && before.st_size > 0) record(TRUNCATE, after.st_ino, 0, NULL, 0);
  }
  end();
  return fd;
}

#define OPEN_WITH_MODE(directory, path, flags)     \
  va_list rest;                                    \
  va_start(rest, flags);                           \
  mode_t mode = (flags) & O_CREAT ? va_arg(rest, mode_t) : 0; \
  va_end(rest);                                    \
  return openRecorded(directory, path, flags, mode)

int open(const char *path, int flags, ...) { OPEN_WITH_MODE(AT_FDCWD, path, flags); }
int open64(const char *path, int flags, ...) { OPEN_WITH_MODE(AT_FDCWD, path, flags); }
int openat(int directory, const char *path, int flags, ...) { OPEN_WITH_MODE(directory, path, flags); }

int mkdir(const char *path, mode_t mode) {
  struct stat status;
  begin();
  int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  if (result == 0 && isUnderRoot(path) && stat(path, &status) == 0)
    record(CREATE_DIRECTORY, status.st_ino, 0, path, strlen(path));
  end();
  return result;
}

int unlink(const char *path) {
  begin();
  int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (result == 0 && isUnderRoot(path)) record(REMOVE, 0, 0, path, strlen(path));
  end();
  return result;
}

/* Both paths, with a zero byte between them. Within the root only. */
int rename(const char *from, const char *to) {
  begin();
  int result = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
  if (result == 0 && isUnderRoot(from)) {
    char paths[2 * PATH_MAX];
    int length = snprintf(paths, sizeof paths, "%s%c%s", from, 0, to);
    record(RENAME, 0, 0, paths, length);
  }
  end();
  return result;
}

static ssize_t recordWrite(int fd, const void *bytes, ssize_t written, off_t at) {
  struct stat status;
  if (written > 0 && isRecorded(fd, &status)) {
    record(WRITE, status.st_ino, at < 0 ? lseek(fd, 0, SEEK_CUR) - written : at, bytes, written);
  }
  return written;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  begin();
  ssize_t written = recordWrite(fd, bytes, syscall(SYS_write, fd, bytes, count), -1);
  end();
  return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
  begin();
  ssize_t written = recordWrite(fd, bytes, syscall(SYS_pwrite64, fd, bytes, count, at), at);
  end();
  return written;
}

int ftruncate64(int fd, off_t size) {
  struct stat status;
  begin();
  int result = syscall(SYS_ftruncate, fd, size);
  if (result == 0 && isRecorded(fd, &status)) record(TRUNCATE, status.st_ino, size, NULL, 0);
  end();
  return result;
}

static int recordSync(int fd, long call) {
  struct stat status;
  begin();
  int result = syscall(call, fd);
  if (result == 0 && isRecorded(fd, &status)) record(SYNC, status.st_ino, 0, NULL, 0);
  end();
  return result;
}

int fsync(int fd) { return recordSync(fd, SYS_fsync); }
int fdatasync(int fd) { return recordSync(fd, SYS_fdatasync); }
