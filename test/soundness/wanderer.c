// A program that looks around and changes what it finds, where every choice depends on all that it has seen. It writes down everything it learns that
// a step's inputs may tell it: no times, no numbers of inodes, no order of entries, of directories neither size nor links. Static, so that nothing
// but it looks at anything.
//   wanderer EACH OP OUT PATH…        one operation on each path, what it learns written to OUT
//   wanderer WALK SEED STEPS OPS OUT  a walk below /t (and /m, where that is), written to OUT; OPS: names of operations between commas, or all
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef struct {
    uint64_t state;
    char *text;
    size_t length, room;
} Walk;

static void note(Walk *walk, const char *format, ...) {
    char line[8192];
    va_list values;
    va_start(values, format);
    int count = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (count >= (int)sizeof line) count = sizeof line - 1;
    if (walk->length + count + 1 > walk->room) walk->text = realloc(walk->text, walk->room = 2 * (walk->length + count + 64));
    memcpy(walk->text + walk->length, line, count + 1);
    walk->length += count;
    for (int i = 0; i < count; i++) walk->state = (walk->state ^ (unsigned char)line[i]) * 0x100000001b3u;
}

static uint64_t draw(Walk *walk, uint64_t below) {
    walk->state += 0x9e3779b97f4a7c15u;
    uint64_t z = walk->state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

static uint64_t sum(const unsigned char *bytes, ssize_t count) {
    uint64_t all = 0xcbf29ce484222325u;
    for (ssize_t i = 0; i < count; i++) all = (all ^ bytes[i]) * 0x100000001b3u;
    return all;
}

static void failed(Walk *walk) { note(walk, " !%s", strerrorname_np(errno)); }

static void status(Walk *walk, const struct stat *s) {
    note(walk, " %o %u:%u", s->st_mode, s->st_uid, s->st_gid);
    if (S_ISREG(s->st_mode)) note(walk, " %lld %lu", (long long)s->st_size, (unsigned long)s->st_nlink);
    if (S_ISLNK(s->st_mode)) note(walk, " %lld", (long long)s->st_size);
    if (S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode)) note(walk, " %u:%u", major(s->st_rdev), minor(s->st_rdev));
}

// Opened without waiting for the other end of a FIFO.
static int opened(Walk *walk, const char *path, int flags) {
    int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) failed(walk);
    return fd;
}

static int opened_file(Walk *walk, const char *path, int flags) {
    int fd = opened(walk, path, flags);
    return fd;
}

static void op_lstat(Walk *w, const char *p, const char *q) {
    struct stat s;
    (void)q;
    if (lstat(p, &s)) failed(w); else status(w, &s);
}
static void op_stat(Walk *w, const char *p, const char *q) {
    struct stat s;
    (void)q;
    if (stat(p, &s)) failed(w); else status(w, &s);
}
static void op_fstat(Walk *w, const char *p, const char *q) {
    struct stat s;
    (void)q;
    int fd = opened(w, p, O_PATH | O_NOFOLLOW);
    if (fd < 0) return;
    if (fstat(fd, &s)) failed(w); else status(w, &s);
    close(fd);
}
static void op_access(Walk *w, const char *p, const char *q) {
    (void)q;
    if (access(p, F_OK)) failed(w); else note(w, " there");
}
static void op_executable(Walk *w, const char *p, const char *q) {
    (void)q;
    if (access(p, X_OK)) failed(w); else note(w, " yes");
}
static void op_slash(Walk *w, const char *p, const char *q) {
    char path[512];
    (void)q;
    snprintf(path, sizeof path, "%s/", p);
    if (access(path, F_OK)) failed(w); else note(w, " there");
}
static void op_read(Walk *w, const char *p, const char *q) {
    static __thread unsigned char bytes[1 << 17];
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    ssize_t count = read(fd, bytes, sizeof bytes);
    if (count < 0) failed(w); else note(w, " %zd %lx", count, sum(bytes, count));
    close(fd);
}
static void read_at(Walk *w, const char *p, off_t offset) {
    unsigned char byte[8];
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    ssize_t count = pread(fd, byte, sizeof byte, offset);
    if (count < 0) failed(w); else note(w, " %zd %lx", count, sum(byte, count));
    close(fd);
}
static void op_head(Walk *w, const char *p, const char *q) { (void)q; read_at(w, p, 0); }
static void op_beyond(Walk *w, const char *p, const char *q) { (void)q; read_at(w, p, 6); }
static void op_far(Walk *w, const char *p, const char *q) { (void)q; read_at(w, p, 100000); }
static void seek(Walk *w, const char *p, off_t offset, int whence) {
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    struct stat s;
    off_t at = lseek(fd, offset, whence);
    if (at < 0) failed(w);
    // Of a directory the end is where its file system has it.
    else if (fstat(fd, &s) || !S_ISDIR(s.st_mode)) note(w, " %lld", (long long)at);
    close(fd);
}
static void op_end(Walk *w, const char *p, const char *q) { (void)q; seek(w, p, 0, SEEK_END); }
static void seek_only(Walk *w, const char *p, off_t offset, int whence) {
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    char name[1];
    // No stat: it would say all that a seek does.
    ssize_t is_directory = read(fd, name, 0);
    if (is_directory < 0) failed(w);
    else {
        off_t at = lseek(fd, offset, whence);
        if (at < 0) failed(w); else note(w, " %lld", (long long)at);
    }
    close(fd);
}
static void op_hole(Walk *w, const char *p, const char *q) { (void)q; seek_only(w, p, 0, SEEK_HOLE); }
static void op_data(Walk *w, const char *p, const char *q) { (void)q; seek_only(w, p, 3, SEEK_DATA); }
static void op_fionread(Walk *w, const char *p, const char *q) {
    int left = 0;
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    char name[1];
    if (read(fd, name, 0) < 0) failed(w);
    else if (ioctl(fd, FIONREAD, &left)) failed(w); else note(w, " %d", left);
    close(fd);
}
static void extended(Walk *w, const char *p, int flags, unsigned mask) {
    struct statx s;
    if (statx(AT_FDCWD, p, flags | AT_SYMLINK_NOFOLLOW, mask, &s)) { failed(w); return; }
    note(w, " %o %u:%u", s.stx_mode, s.stx_uid, s.stx_gid);
    if (S_ISREG(s.stx_mode)) note(w, " %lld %u", (long long)s.stx_size, s.stx_nlink);
}
static void op_statx(Walk *w, const char *p, const char *q) { (void)q; extended(w, p, 0, STATX_ALL); }
static void op_statx_cached(Walk *w, const char *p, const char *q) { (void)q; extended(w, p, AT_STATX_DONT_SYNC, STATX_BASIC_STATS); }
static void op_statx_birth(Walk *w, const char *p, const char *q) { (void)q; extended(w, p, 0, STATX_BTIME); }
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static void op_list(Walk *w, const char *p, const char *q) {
    char *names[4096];
    int count = 0;
    (void)q;
    DIR *dir = opendir(p);
    if (!dir) { failed(w); return; }
    errno = 0;
    for (struct dirent *one; (one = readdir(dir)) && count < 4096; errno = 0) {
        if (!strcmp(one->d_name, ".") || !strcmp(one->d_name, "..")) continue;
        if (asprintf(&names[count++], "%s:%d", one->d_name, one->d_type) < 0) abort();
    }
    if (errno) failed(w);
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) { note(w, " %s", names[i]); free(names[i]); }
}
static void op_link(Walk *w, const char *p, const char *q) {
    char target[4096];
    (void)q;
    ssize_t count = readlink(p, target, sizeof target - 1);
    if (count < 0) failed(w); else note(w, " %.*s", (int)count, target);
}
static void op_xattr(Walk *w, const char *p, const char *q) {
    unsigned char value[512];
    (void)q;
    ssize_t count = lgetxattr(p, "user.a", value, sizeof value);
    if (count < 0) failed(w); else note(w, " %zd %lx", count, sum(value, count));
}
static void op_acl(Walk *w, const char *p, const char *q) {
    unsigned char value[512];
    (void)q;
    ssize_t count = getxattr(p, "system.posix_acl_access", value, sizeof value);
    if (count < 0) failed(w); else note(w, " %zd %lx", count, sum(value, count));
}
static void op_xattrs(Walk *w, const char *p, const char *q) {
    char list[4096], *names[256];
    int count = 0;
    (void)q;
    ssize_t length = llistxattr(p, list, sizeof list);
    if (length < 0) { failed(w); return; }
    for (char *name = list; name < list + length && count < 256; name += strlen(name) + 1) names[count++] = name;
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) note(w, " %s", names[i]);
}
static __thread sigjmp_buf beyond_end;
static void on_bus(int signal) { (void)signal; siglongjmp(beyond_end, 1); }
static void op_map(Walk *w, const char *p, const char *q) {
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    unsigned char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    if (page == MAP_FAILED) failed(w);
    else {
        if (sigsetjmp(beyond_end, 1)) note(w, " empty"); else note(w, " %lx", sum(page, 64));
        munmap(page, 4096);
    }
    close(fd);
}
static void op_parent(Walk *w, const char *p, const char *q) {
    char path[1024];
    struct stat s;
    (void)q;
    snprintf(path, sizeof path, "%s/../b", p);
    if (lstat(path, &s)) failed(w); else note(w, " %o", s.st_mode & S_IFMT);
}
static void op_real(Walk *w, const char *p, const char *q) {
    char path[PATH_MAX];
    (void)q;
    if (!realpath(p, path)) failed(w); else note(w, " %s", path);
}
static void op_execute(Walk *w, const char *p, const char *q) {
    (void)q;
    fflush(NULL);
    pid_t child = vfork();
    if (child == 0) {
        char *const arguments[] = {(char *)p, NULL};
        execv(p, arguments);
        _exit(errno);
    }
    int ended = 0;
    waitpid(child, &ended, 0);
    note(w, " %d", ended);
}
static void op_same(Walk *w, const char *p, const char *q) {
    struct stat a, b;
    if (lstat(p, &a) || lstat(q, &b)) failed(w);
    else if (!S_ISDIR(a.st_mode) && !S_ISDIR(b.st_mode) && a.st_nlink > 1 && b.st_nlink > 1) note(w, " %d", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
}
static void op_send(Walk *w, const char *p, const char *q) {
    unsigned char bytes[4096];
    (void)q;
    int fd = opened_file(w, p, O_RDONLY), out = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t count = sendfile(out, fd, NULL, sizeof bytes);
        if (count < 0) failed(w);
        else note(w, " %zd %lx", count, sum(bytes, pread(out, bytes, sizeof bytes, 0)));
        close(fd);
    }
    close(out);
}
// As few entries at a time as there is room for, so that the rest is asked for again.
static void op_list_bit_by_bit(Walk *w, const char *p, const char *q) {
    struct entry { uint64_t number; int64_t offset; unsigned short length; unsigned char type; char name[]; };
    _Alignas(8) char bytes[64];
    char *names[4096];
    int count = 0;
    (void)q;
    int fd = opened(w, p, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    long length;
    while ((length = syscall(SYS_getdents64, fd, bytes, sizeof bytes)) > 0)
        for (char *at = bytes; at < bytes + length && count < 4096; at += ((struct entry *)at)->length)
            if (asprintf(&names[count++], "%s:%d", ((struct entry *)at)->name, ((struct entry *)at)->type) < 0) abort();
    if (length < 0) failed(w);
    close(fd);
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) { note(w, " %s", names[i]); free(names[i]); }
}
// Whether there is something behind the third entry, whatever it is.
static void op_list_behind(Walk *w, const char *p, const char *q) {
    char bytes[4096];
    (void)q;
    int fd = opened(w, p, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    if (lseek(fd, 3, SEEK_SET) != 3) failed(w);
    else note(w, " %d", syscall(SYS_getdents64, fd, bytes, sizeof bytes) > 0);
    close(fd);
}
static void op_statfs(Walk *w, const char *p, const char *q) {
    struct statfs s;
    (void)q;
    if (statfs(p, &s)) failed(w); else note(w, " %lx %ld %ld", (long)s.f_type, (long)s.f_bsize, (long)s.f_namelen);
}
static void op_handle(Walk *w, const char *p, const char *q) {
    struct { struct file_handle head; char bytes[MAX_HANDLE_SZ]; } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount;
    (void)q;
    // Some kernels give one that says a number alone.
    for (int flags = 0; flags <= 0x200; flags += 0x200) {
        if (name_to_handle_at(AT_FDCWD, p, &handle.head, &mount, flags)) failed(w); else note(w, " %u %d", handle.head.handle_bytes, handle.head.handle_type);
    }
}
static void op_extents(Walk *w, const char *p, const char *q) {
    struct { struct fiemap head; struct fiemap_extent extents[8]; } map = {.head = {.fm_length = UINT64_MAX, .fm_extent_count = 8}};
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    if (ioctl(fd, FS_IOC_FIEMAP, &map)) failed(w); else note(w, " %u", map.head.fm_mapped_extents);
    close(fd);
}
static void op_flags(Walk *w, const char *p, const char *q) {
    int flags = 0;
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags)) failed(w); else note(w, " %x", flags);
    close(fd);
}
static void op_lock(Walk *w, const char *p, const char *q) {
    struct flock all = {.l_type = F_RDLCK};
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    if (flock(fd, LOCK_SH | LOCK_NB)) failed(w); else note(w, " locked");
    if (fcntl(fd, F_SETLK, &all)) failed(w); else note(w, " locked");
    if (fcntl(fd, F_SETLEASE, F_RDLCK)) failed(w); else note(w, " leased %d", fcntl(fd, F_GETLEASE));
    note(w, " %x", fcntl(fd, F_GETFL));
    close(fd);
}
static void op_watch(Walk *w, const char *p, const char *q) {
    (void)q;
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (inotify_add_watch(fd, p, IN_ALL_EVENTS | IN_DONT_FOLLOW) < 0) failed(w); else note(w, " watched");
    close(fd);
}
// Of what is asked for by nobody there may be some all the same.
static void op_statx_nothing(Walk *w, const char *p, const char *q) { (void)q; extended(w, p, 0, 0); }
static void op_statx_more(Walk *w, const char *p, const char *q) {
    struct statx s;
    (void)q;
    if (statx(AT_FDCWD, p, AT_SYMLINK_NOFOLLOW, STATX_ALL | STATX_DIOALIGN, &s)) { failed(w); return; }
    note(w, " %llx %llx %u %u", (unsigned long long)s.stx_attributes, (unsigned long long)s.stx_attributes_mask, s.stx_dio_mem_align, s.stx_dio_offset_align);
    if (S_ISREG(s.stx_mode)) note(w, " %u", s.stx_blksize);
}
static void op_direct(Walk *w, const char *p, const char *q) {
    static __thread _Alignas(4096) unsigned char bytes[4096];
    (void)q;
    for (off_t offset = 8192; offset >= 0; offset -= 8192) {
        int fd = opened_file(w, p, O_RDONLY | O_DIRECT);
        if (fd < 0) return;
        ssize_t count = pread(fd, bytes, sizeof bytes, offset);
        if (count < 0) failed(w); else note(w, " %zd %lx", count, sum(bytes, count));
        close(fd);
    }
}
static void op_copy(Walk *w, const char *p, const char *q) {
    unsigned char bytes[4096];
    (void)q;
    int fd = opened_file(w, p, O_RDONLY), out = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (ioctl(out, FICLONE, fd)) failed(w); else note(w, " cloned");
        ssize_t count = copy_file_range(fd, NULL, out, NULL, sizeof bytes, 0);
        if (count < 0) failed(w); else note(w, " %zd %lx", count, sum(bytes, pread(out, bytes, sizeof bytes, 0)));
        close(fd);
    }
    close(out);
}
static void op_splice(Walk *w, const char *p, const char *q) {
    unsigned char bytes[4096];
    int ends[2];
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK)) return;
    ssize_t count = splice(fd, NULL, ends[1], NULL, sizeof bytes, 0);
    if (count < 0) failed(w);
    else { note(w, " %zd", count); count = read(ends[0], bytes, sizeof bytes); note(w, " %lx", sum(bytes, count)); }
    close(ends[0]);
    close(ends[1]);
    close(fd);
}
// How much of it the kernel keeps, after it was asked to read on.
static void op_cached(Walk *w, const char *p, const char *q) {
    unsigned char pages[4] = {0};
    (void)q;
    int fd = opened_file(w, p, O_RDONLY);
    if (fd < 0) return;
    note(w, " %zd", readahead(fd, 0, 16384));
    if (fsync(fd)) failed(w);
    unsigned char *map = mmap(NULL, sizeof pages * 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) failed(w);
    else { if (madvise(map, sizeof pages * 4096, MADV_POPULATE_READ)) failed(w); munmap(map, sizeof pages * 4096); }
    close(fd);
}
static void op_directory(Walk *w, const char *p, const char *q) {
    char path[PATH_MAX];
    (void)q;
    int fd = opened(w, p, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t count = readlink(link, path, sizeof path);
    if (count < 0) failed(w); else note(w, " %.*s", (int)count, path);
    struct stat s;
    if (fstatat(fd, "a", &s, 0)) failed(w); else note(w, " %o", s.st_mode);
    close(fd);
}
static void ended(Walk *w, int result) { if (result < 0) failed(w); else note(w, " done"); }
static void op_append(Walk *w, const char *p, const char *q) {
    (void)q;
    int fd = opened(w, p, O_WRONLY | O_APPEND);
    if (fd < 0) return;
    if (write(fd, "+", 1) < 0) failed(w); else note(w, " done");
    close(fd);
}
static void op_truncate(Walk *w, const char *p, const char *q) { (void)q; ended(w, truncate(p, 2)); }
static void op_grow(Walk *w, const char *p, const char *q) { (void)q; ended(w, truncate(p, 20000)); }
static void op_scribble(Walk *w, const char *p, const char *q) {
    (void)q;
    int fd = opened_file(w, p, O_RDWR);
    if (fd < 0) return;
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) failed(w);
    else {
        if (sigsetjmp(beyond_end, 1)) note(w, " empty"); else { page[1] = '#'; note(w, " done"); }
        munmap(page, 4096);
    }
    close(fd);
}
static void op_allocate(Walk *w, const char *p, const char *q) {
    (void)q;
    int fd = opened(w, p, O_WRONLY);
    if (fd < 0) return;
    ended(w, fallocate(fd, 0, 0, 5000));
    close(fd);
}
static void op_replace(Walk *w, const char *p, const char *q) { ended(w, (int)syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, q, 1)); }
static void op_linked(Walk *w, const char *p, const char *q) {
    char link[64];
    int fd = opened(w, p, O_PATH | O_NOFOLLOW);
    if (fd < 0) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ended(w, linkat(AT_FDCWD, link, AT_FDCWD, q, AT_SYMLINK_FOLLOW));
    close(fd);
}
static void op_empty(Walk *w, const char *p, const char *q) {
    (void)q;
    int fd = opened(w, p, O_WRONLY | O_TRUNC);
    if (fd >= 0) close(fd);
}
static void op_create(Walk *w, const char *p, const char *q) {
    (void)q;
    int fd = open(p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) { failed(w); return; }
    ended(w, (int)write(fd, "new", 3));
    close(fd);
}
static void op_unlink(Walk *w, const char *p, const char *q) { (void)q; ended(w, unlink(p)); }
static void op_rmdir(Walk *w, const char *p, const char *q) { (void)q; ended(w, rmdir(p)); }
static void op_mkdir(Walk *w, const char *p, const char *q) { (void)q; ended(w, mkdir(p, 0750)); }
static void op_rename(Walk *w, const char *p, const char *q) { ended(w, rename(p, q)); }
static void op_exchange(Walk *w, const char *p, const char *q) { ended(w, (int)syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, q, 2)); }
static void op_hardlink(Walk *w, const char *p, const char *q) { ended(w, link(p, q)); }
static void op_symlink(Walk *w, const char *p, const char *q) { ended(w, symlink(strrchr(q, '/') + 1, p)); }
static void op_chmod(Walk *w, const char *p, const char *q) { (void)q; ended(w, chmod(p, 0711)); }
static void op_chown(Walk *w, const char *p, const char *q) { (void)q; ended(w, lchown(p, 7, -1)); }
static void op_setxattr(Walk *w, const char *p, const char *q) { (void)q; ended(w, lsetxattr(p, "user.z", "1", 1, 0)); }
static void op_touch(Walk *w, const char *p, const char *q) {
    (void)q;
    ended(w, utimensat(AT_FDCWD, p, (struct timespec[]){{1, 0}, {1, 0}}, AT_SYMLINK_NOFOLLOW));
}
static void op_fifo(Walk *w, const char *p, const char *q) { (void)q; ended(w, mkfifo(p, 0600)); }

typedef void Operation(Walk *, const char *, const char *);
#define NAMED(name) {#name, op_##name}
static const struct Named { const char *name; Operation *run; } operations[] = {
    NAMED(lstat), NAMED(stat), NAMED(fstat), NAMED(access), NAMED(executable), NAMED(slash), NAMED(read), NAMED(head), NAMED(beyond), NAMED(far),
    NAMED(end), NAMED(hole), NAMED(data), NAMED(fionread), NAMED(statx), NAMED(statx_cached), NAMED(statx_birth), NAMED(list), NAMED(link),
    NAMED(xattr), NAMED(acl), NAMED(xattrs), NAMED(map), NAMED(parent), NAMED(real), NAMED(execute), NAMED(same), NAMED(send),
    NAMED(list_bit_by_bit), NAMED(list_behind), NAMED(statfs), NAMED(handle), NAMED(extents), NAMED(flags), NAMED(lock), NAMED(watch), NAMED(statx_nothing),
    NAMED(statx_more), NAMED(direct), NAMED(copy), NAMED(splice), NAMED(cached), NAMED(directory),
    NAMED(append), NAMED(truncate), NAMED(empty), NAMED(create), NAMED(unlink), NAMED(rmdir), NAMED(mkdir), NAMED(rename), NAMED(exchange),
    NAMED(hardlink), NAMED(symlink), NAMED(chmod), NAMED(chown), NAMED(setxattr), NAMED(touch), NAMED(fifo), NAMED(grow), NAMED(scribble),
    NAMED(allocate), NAMED(replace), NAMED(linked),
};
enum { OPERATIONS = sizeof operations / sizeof *operations, LOOKS = 43 };

static const struct Named *chosen[OPERATIONS];
static int choices, looks;
static const char *roots[2] = {"/t", "/m"};
static int root_count = 1;

static void choose(const char *names) {
    for (int i = 0; i < OPERATIONS; i++) {
        char wanted[64], all[2048];
        snprintf(wanted, sizeof wanted, ",%s,", operations[i].name);
        snprintf(all, sizeof all, ",%s,", names);
        if (strcmp(names, "all") && !strstr(all, wanted)) continue;
        chosen[choices++] = &operations[i];
        if (i < LOOKS) looks = choices;
    }
}

static void somewhere(Walk *walk, char *path) {
    path += sprintf(path, "%s", roots[draw(walk, 4) == 0 ? root_count - 1 : 0]);
    for (uint64_t depth = draw(walk, 16) == 0 ? 0 : 1 + draw(walk, 3) % 3; depth > 0; depth--) path += sprintf(path, "/%c", (char)('a' + draw(walk, 5)));
}

static void step(Walk *walk, int among) {
    char path[64], other[64];
    const struct Named *one = chosen[draw(walk, among)];
    somewhere(walk, path);
    somewhere(walk, other);
    note(walk, "%s %s %s:", one->name, path, other);
    one->run(walk, path, other);
    note(walk, "\n");
}

static void *look_around(void *walk) {
    for (int i = 0; i < 6; i++) step(walk, looks);
    return NULL;
}

// Threads only look, so that what one of them sees does not depend on the other.
static void fork_out(Walk *walk) {
    Walk parts[2] = {{.state = draw(walk, UINT64_MAX)}, {.state = draw(walk, UINT64_MAX)}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) if (pthread_create(&threads[i], NULL, look_around, &parts[i])) abort();
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        note(walk, "thread %d\n%s", i, parts[i].text ? parts[i].text : "");
        free(parts[i].text);
    }
}

static int written(const Walk *walk, const char *path) {
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    return out >= 0 && write(out, walk->text, walk->length) == (ssize_t)walk->length ? 0 : 1;
}

int main(int count, char **words) {
    Walk walk = {0};
    signal(SIGBUS, on_bus);
    umask(0);
    if (count >= 4 && !strcmp(words[1], "EACH")) {
        for (int i = 0; i < OPERATIONS; i++) {
            if (strcmp(operations[i].name, words[2])) continue;
            for (char **path = words + 4; *path; path++) {
                note(&walk, "%s:", *path);
                operations[i].run(&walk, *path, path[1] ? path[1] : words[4]);
                note(&walk, "\n");
            }
        }
        return written(&walk, words[3]);
    }
    if (count != 6) return 2;
    walk.state = strtoull(words[2], NULL, 10);
    if (access("/m", F_OK) == 0) root_count = 2;
    choose(words[4]);
    for (int i = atoi(words[3]); i > 0; i--) {
        if (looks > 0 && draw(&walk, 12) == 0) fork_out(&walk); else step(&walk, choices);
    }
    return written(&walk, words[5]);
}
