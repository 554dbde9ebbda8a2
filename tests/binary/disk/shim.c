/* Stands between the relay and the disk: what it asks of files whose path holds STORE fails as the first
   byte of the file CONTROL says. Loaded by LD_PRELOAD; see shim.rs for what the letters mean. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile const char *control;
static const char *store;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("SHIM_CONTROL");
  store = getenv("SHIM_STORE");
  int fd = path ? open(path, O_RDONLY) : -1;
  if (fd >= 0 && store) {
    void *map = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) control = map;
  }
}

static char mode(void) { return control ? *control : '-'; }

static int is_store(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, store) != NULL;
}

static int fails(char letter, int error, int fd) {
  if (mode() != letter || !is_store(fd)) return 0;
  errno = error;
  return 1;
}

static int no_write(int fd) {
  return fails('f', ENOSPC, fd) || fails('w', EIO, fd) || fails('o', EROFS, fd);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
  return no_write(fd) ? -1 : REAL(write)(fd, bytes, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  return no_write(fd) ? -1 : REAL(pwrite)(fd, bytes, count, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  return no_write(fd) ? -1 : REAL(pwrite64)(fd, bytes, count, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  return no_write(fd) ? -1 : REAL(pwritev)(fd, parts, count, at);
}
int ftruncate(int fd, off_t length) {
  return no_write(fd) ? -1 : REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
  return no_write(fd) ? -1 : REAL(ftruncate64)(fd, length);
}
int fsync(int fd) { return fails('s', EIO, fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails('s', EIO, fd) ? -1 : REAL(fdatasync)(fd); }

ssize_t read(int fd, void *bytes, size_t count) {
  return fails('r', EIO, fd) ? -1 : REAL(read)(fd, bytes, count);
}
ssize_t pread(int fd, void *bytes, size_t count, off_t at) {
  return fails('r', EIO, fd) ? -1 : REAL(pread)(fd, bytes, count, at);
}
ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
  return fails('r', EIO, fd) ? -1 : REAL(pread64)(fd, bytes, count, at);
}

static int no_open(const char *path, int flags) {
  if (mode() != 'o' || !strstr(path, store) || (flags & O_ACCMODE) == O_RDONLY) return 0;
  errno = EROFS;
  return 1;
}

#define OPEN(name)                                         \
  int name(const char *path, int flags, ...) {             \
    va_list rest;                                          \
    va_start(rest, flags);                                 \
    mode_t bits = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                          \
    return no_open(path, flags) ? -1 : REAL(name)(path, flags, bits); \
  }
OPEN(open)
OPEN(open64)
