// wasi-libc's header, and the functions that WasmEdge's sockets make possible.
#ifndef HAKO_SYS_SOCKET_H
#define HAKO_SYS_SOCKET_H
#include_next <sys/socket.h>
#ifdef __cplusplus
extern "C" {
#endif

// wasi-libc knows SO_TYPE alone; these are numbered as on Linux.
#define SO_REUSEADDR 2
#define SO_ERROR 4
#define SO_DONTROUTE 5
#define SO_BROADCAST 6
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define SO_KEEPALIVE 9
#define SO_OOBINLINE 10
#define SO_LINGER 13
#define SO_RCVLOWAT 18
#define SO_RCVTIMEO 20
#define SO_SNDTIMEO 21
#define SO_ACCEPTCONN 30
#define SOMAXCONN 128
#define MSG_DONTWAIT 0x40
#define MSG_NOSIGNAL 0
#define MSG_OOB 0x1000 // refused: there is no such data
#define MSG_CTRUNC 0x2000
#define MSG_DONTROUTE 0
#define PF_UNIX AF_UNIX
#define SOL_IP 0
#define SOL_TCP 6
#define SOL_UDP 17
#define SOL_IPV6 41

int socket(int, int, int);
int connect(int, const struct sockaddr *, socklen_t);
int bind(int, const struct sockaddr *, socklen_t);
int listen(int, int);
int getsockname(int, struct sockaddr *__restrict, socklen_t *__restrict);
int getpeername(int, struct sockaddr *__restrict, socklen_t *__restrict);
ssize_t sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
ssize_t recvfrom(int, void *__restrict, size_t, int, struct sockaddr *__restrict, socklen_t *__restrict);
int setsockopt(int, int, int, const void *, socklen_t);
int socketpair(int, int, int, int[2]);

#ifdef __cplusplus
}
#endif
#endif
