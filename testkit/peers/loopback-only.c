/* Preloaded into a server that would listen on every interface: it listens on 127.0.0.1 alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int bind(int socket, const struct sockaddr *address, socklen_t length) {
  int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
  struct sockaddr_storage copy;
  memset(&copy, 0, sizeof copy);
  memcpy(&copy, address, length);
  if (address->sa_family == AF_INET) {
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&copy;
    if (ipv4->sin_addr.s_addr == INADDR_ANY) ipv4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  if (address->sa_family == AF_INET6) {
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&copy;
    static const unsigned char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    if (memcmp(&ipv6->sin6_addr, &in6addr_any, 16) == 0) memcpy(&ipv6->sin6_addr, mapped, 16);
  }
  return real(socket, (struct sockaddr *)&copy, length);
}
