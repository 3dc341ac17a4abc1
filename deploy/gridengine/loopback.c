/* Grid Engine's daemons listen on every address and know no other way; preloaded into them, this
 * turns "every address" into loopback, which nobody reaches from outside this machine. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <stddef.h>

typedef int Bind(int, const struct sockaddr *, socklen_t);

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    static Bind *real;
    struct sockaddr_in here;

    if (real == NULL)
        real = (Bind *)dlsym(RTLD_NEXT, "bind");
    if (address->sa_family == AF_INET && size == sizeof here) {
        here = *(const struct sockaddr_in *)address;
        if (here.sin_addr.s_addr == htonl(INADDR_ANY)) {
            here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            return real(fd, (const struct sockaddr *)&here, size);
        }
    }
    return real(fd, address, size);
}
