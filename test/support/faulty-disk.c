/*
 * Preloaded into a node, makes its disk fail. The file that FAULTS_FILE names says how, in one line: which call ("write" or
 * "sync"), the last part of which file's name, and the errno to fail with, or 0 for a call that does not return before
 * the line is another. No file: no fault.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* 1 when the fault in force is for this call, which is then in *error. */
static int matches(const char *call, int fd, int *error) {
  const char *control = getenv("FAULTS_FILE");
  int file = control == NULL ? -1 : open(control, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char line[256] = {0}, faulty[16], name[128], link[64], path[PATH_MAX] = {0};
  ssize_t length = read(file, line, sizeof line - 1);
  close(file);
  if (length <= 0 || sscanf(line, "%15s %127s %d", faulty, name, error) != 3 || strcmp(call, faulty) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink(link, path, sizeof path - 1) < 0) return 0;
  size_t pathLength = strlen(path), nameLength = strlen(name);
  return pathLength > nameLength && path[pathLength - nameLength - 1] == '/' &&
         strcmp(path + pathLength - nameLength, name) == 0;
}

/* The errno to fail with; 0 for none. */
static int faultOf(const char *call, int fd) {
  int before = errno, error;
  while (matches(call, fd, &error)) {
    if (error != 0) return error;
    usleep(2000);
  }
  errno = before;
  return 0;
}

#define FAIL_OR_CALL(call, fd, failed, signature, ...)                       \
  int error = faultOf(call, fd);                                             \
  if (error != 0) {                                                          \
    errno = error;                                                           \
    return failed;                                                           \
  }                                                                          \
  static signature;                                                          \
  if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, __func__);            \
  return next(__VA_ARGS__)

int fsync(int fd) { FAIL_OR_CALL("sync", fd, -1, int (*next)(int), fd); }

int fdatasync(int fd) { FAIL_OR_CALL("sync", fd, -1, int (*next)(int), fd); }

ssize_t write(int fd, const void *bytes, size_t count) {
  FAIL_OR_CALL("write", fd, -1, ssize_t (*next)(int, const void *, size_t), fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  FAIL_OR_CALL("write", fd, -1, ssize_t (*next)(int, const void *, size_t, off_t), fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  FAIL_OR_CALL("write", fd, -1, ssize_t (*next)(int, const void *, size_t, off64_t), fd, bytes, count, at);
}
