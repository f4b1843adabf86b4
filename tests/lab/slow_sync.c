/* A slow disk: each fsync and fdatasync of a node's processes takes as many milliseconds longer as
 * the node's /etc/slow-sync-ms says at that moment. Loaded through /etc/ld.so.preload. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_disk(void) {
    char text[16] = {0};
    int file = open("/etc/slow-sync-ms", O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    long ms = length > 0 ? strtol(text, NULL, 10) : 0;
    struct timespec time = {ms / 1000, (ms % 1000) * 1000000L};
    if (ms > 0) nanosleep(&time, NULL);
}

int fsync(int file) {
    wait_for_disk();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    wait_for_disk();
    return (int)syscall(SYS_fdatasync, file);
}
