/* Between a program and the C library: count what it does to files below a folder, and at a chosen
 * count kill it (writes stop half way), or fail for a while, or log it all. A full disk (ENOSPC,
 * EDQUOT) fails writes and what makes files; other errors (EIO, ESTALE) every call there is here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long count, crash_at = -1, full_from = -1, full_to = -1;
static char root[4096];
static int log_fd = -1, error = ENOSPC;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void shim_arm(const char *folder, long crash, long from, long to, int log,
              int number) {
    count = 0, error = number ? number : ENOSPC;
    strncpy(root, folder, sizeof root - 1);
    crash_at = crash, full_from = from, full_to = to, log_fd = log;
}
long shim_count(void) { return count; }

static int below(const char *path) { return root[0] && path && !strncmp(path, root, strlen(root)); }
static int path_of(int fd, char *path) {
    char link[64];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 4095);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path);
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t (*raw_write)(int, const void *, size_t);
static void note(const char *what, const char *path, const char *other, off_t at, const void *data,
                 size_t n) {
    if (log_fd < 0) return;
    if (!raw_write) raw_write = REAL(write);
    char head[9000];
    int size = snprintf(head, sizeof head, "%s\t%s\t%s\t%lld\t%zu\n", what, path, other,
                        (long long)at, n);
    raw_write(log_fd, head, size);
    if (n) raw_write(log_fd, data, n);
}
/* 1: die now, 2: fail, 0: go on */
static int next(void) {
    long now = ++count;
    if (now == crash_at) return 1;
    return now >= full_from && now < full_to ? 2 : 0;
}
static int fails_all(void) { return error != ENOSPC && error != EDQUOT; }
#define ENTER(path, full_matters)                                   \
    pthread_mutex_lock(&mutex);                                     \
    int fate = next();                                              \
    if (fate == 1) raise(SIGKILL);                                  \
    if (fate == 2 && ((full_matters) || fails_all())) {             \
        pthread_mutex_unlock(&mutex);                               \
        errno = error;                                              \
        return -1;                                                  \
    }
#define LEAVE pthread_mutex_unlock(&mutex)

static ssize_t put(int fd, const void *data, size_t n, off_t at, int positioned) {
    static ssize_t (*p)(int, const void *, size_t, off_t);
    if (!raw_write) raw_write = REAL(write);
    if (!p) p = REAL(pwrite);
    char path[4096];
    if (!path_of(fd, path)) return positioned ? p(fd, data, n, at) : raw_write(fd, data, n);
    pthread_mutex_lock(&mutex);
    int fate = next();
    if (fate == 1) {
        positioned ? p(fd, data, n / 2, at) : raw_write(fd, data, n / 2);
        raise(SIGKILL);
    }
    if (fate == 2) {
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    if (!positioned) at = lseek(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR);
    ssize_t done = positioned ? p(fd, data, n, at) : raw_write(fd, data, n);
    if (done > 0) note("write", path, "", at, data, done);
    pthread_mutex_unlock(&mutex);
    return done;
}
ssize_t write(int fd, const void *data, size_t n) { return put(fd, data, n, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return put(fd, data, n, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t n, off_t at) { return put(fd, data, n, at, 1); }

static int flush(int fd, int data_only) {
    char path[4096];
    if (path_of(fd, path)) {
        ENTER(path, 0)
        note("sync", path, "", 0, "", 0);
        LEAVE;
    }
    return data_only ? REAL(fdatasync)(fd) : REAL(fsync)(fd);
}
int fsync(int fd) { return flush(fd, 0); }
int fdatasync(int fd) { return flush(fd, 1); }

static int cut(int fd, off_t size) {
    char path[4096];
    if (path_of(fd, path)) {
        ENTER(path, 0)
        note("truncate", path, "", size, "", 0);
        LEAVE;
    }
    return REAL(ftruncate)(fd, size);
}
int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off_t size) { return cut(fd, size); }

int rename(const char *from, const char *to) {
    if (below(to)) {
        ENTER(to, 1)
        note("rename", from, to, 0, "", 0);
        LEAVE;
    }
    return REAL(rename)(from, to);
}
int unlink(const char *path) {
    if (below(path)) {
        ENTER(path, 0)
        note("unlink", path, "", 0, "", 0);
        LEAVE;
    }
    return REAL(unlink)(path);
}
int mkdir(const char *path, mode_t mode) {
    if (below(path)) {
        ENTER(path, 1)
        note("mkdir", path, "", 0, "", 0);
        LEAVE;
    }
    return REAL(mkdir)(path, mode);
}
static int create(const char *path, int flags, mode_t mode) {
    static int (*real)(const char *, int, ...);
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    if (!(flags & O_CREAT) && fails_all() && below(path)) {
        ENTER(path, 1)
        LEAVE;
    }
    if ((flags & O_CREAT) && below(path)) {
        struct stat info;
        int is_new = stat(path, &info) != 0;
        ENTER(path, is_new)
        if (is_new || (flags & O_TRUNC)) note(is_new ? "create" : "truncate", path, "", 0, "", 0);
        LEAVE;
    }
    return real(path, flags, mode);
}
#define OPEN(name)                                       \
    int name(const char *path, int flags, ...) {         \
        va_list list;                                    \
        va_start(list, flags);                           \
        mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0; \
        va_end(list);                                    \
        return create(path, flags, mode);                \
    }
OPEN(open)
OPEN(open64)

/* What only looks, for errors that spare nothing. */
#define READ(name, type, parameters, arguments)                  \
    type name parameters {                                       \
        char path[4096];                                         \
        if (fails_all() && path_of(fd, path)) {                  \
            ENTER(path, 1)                                       \
            LEAVE;                                               \
        }                                                        \
        return REAL(name) arguments;                             \
    }
READ(read, ssize_t, (int fd, void *data, size_t n), (fd, data, n))
READ(pread64, ssize_t, (int fd, void *data, size_t n, off_t at), (fd, data, n, at))
#define LOOK(name)                                               \
    int name(const char *path, struct stat64 *info) {            \
        if (fails_all() && below(path)) {                        \
            ENTER(path, 1)                                       \
            LEAVE;                                               \
        }                                                        \
        return REAL(name)(path, info);                           \
    }
LOOK(stat64)
LOOK(lstat64)
