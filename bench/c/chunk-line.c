/*
 * The chunk line in C: zstd -> AES-256-GCM -> SHA-256 -> O_DIRECT write and fdatasync, on the given number of threads, with the
 * parameters of services/processor. What a machine can do; the benchmark prints how much of it the product does.
 *
 *   chunk-line DIRECTORY DATA CHUNK_BYTES CHUNKS THREADS DETECT
 *
 * DATA holds one or more chunks, used in turn. Prints {"seconds":…,"cpuSeconds":…,"storedBytes":…} for the chunks alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if __has_include(<zstd.h>)
#include <zstd.h>
#else
/* The stable API of libzstd 1.4 and later, for machines that have the library without its header. */
typedef struct ZSTD_CCtx_s ZSTD_CCtx;
ZSTD_CCtx *ZSTD_createCCtx(void);
size_t ZSTD_CCtx_setParameter(ZSTD_CCtx *, int parameter, int value);
size_t ZSTD_compress2(ZSTD_CCtx *, void *dst, size_t dstCapacity, const void *src, size_t srcSize);
unsigned ZSTD_isError(size_t);
size_t ZSTD_compressBound(size_t);
enum { ZSTD_c_compressionLevel = 100, ZSTD_c_windowLog = 101, ZSTD_c_hashLog = 102, ZSTD_c_minMatch = 105, ZSTD_c_strategy = 107 };
enum { ZSTD_fast = 1 };
#endif

enum { PAGE = 4096, SLICE = 256 * 1024, PREFIX = 160, TAG = 16, SAMPLE = 16 * 1024, SAMPLES = 8 };

static const char *directory;
static unsigned char *data;
static size_t chunk_bytes, chunks_in_data;
static long chunks_count;
static int detect;
static atomic_long next_chunk, stored_bytes;
static pthread_barrier_t ready;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void *aligned(size_t bytes) {
  void *memory;
  if (posix_memalign(&memory, PAGE, bytes) != 0) fail("memory");
  memset(memory, 1, bytes);
  return memory;
}

static int compressible(ZSTD_CCtx *zstd, const unsigned char *chunk, unsigned char *out, size_t out_bytes) {
  static _Thread_local unsigned char samples[SAMPLE * SAMPLES];
  size_t step = (chunk_bytes - SAMPLE) / (SAMPLES - 1);
  for (int i = 0; i < SAMPLES; i++) memcpy(samples + i * SAMPLE, chunk + i * step, SAMPLE);
  return ZSTD_compress2(zstd, out, out_bytes, samples, sizeof samples) <= sizeof samples * 0.9;
}

static size_t encrypt_and_hash(unsigned char *file, const unsigned char *body, size_t length) {
  static const unsigned char key[32] = {1}, nonce[12] = {2};
  unsigned char digest[32];
  int written;
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce);
  EVP_EncryptUpdate(cipher, NULL, &written, file, 96);
  EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
  EVP_DigestUpdate(hash, file, PREFIX);
  unsigned char *out = file + PREFIX;
  for (size_t at = 0; at < length; at += SLICE) {
    size_t slice = length - at < SLICE ? length - at : SLICE;
    EVP_EncryptUpdate(cipher, out, &written, body + at, (int)slice);
    EVP_DigestUpdate(hash, out, slice);
    out += slice;
  }
  EVP_EncryptFinal_ex(cipher, out, &written);
  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG, out);
  EVP_DigestUpdate(hash, out, TAG);
  EVP_DigestFinal_ex(hash, digest, NULL);
  EVP_CIPHER_CTX_free(cipher);
  EVP_MD_CTX_free(hash);
  return PREFIX + length + TAG;
}

static void store(long index, unsigned char *file, size_t length) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%ld.chunk", directory, index);
  int direct = 1;
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_DIRECT, 0640);
  if (fd < 0) {
    direct = 0;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
  }
  if (fd < 0) fail(path);
  size_t padded = direct ? (length + PAGE - 1) / PAGE * PAGE : length;
  for (size_t at = 0; at < padded;) {
    ssize_t written = write(fd, file + at, padded - at);
    if (written <= 0) fail("write");
    at += (size_t)written;
  }
  if (padded != length && ftruncate(fd, (off_t)length) != 0) fail("truncate");
  if (fdatasync(fd) != 0) fail("fdatasync");
  close(fd);
}

static void *work(void *unused) {
  (void)unused;
  size_t bound = ZSTD_compressBound(chunk_bytes);
  unsigned char *compressed = aligned(bound);
  unsigned char *file = aligned(chunk_bytes + PAGE + PAGE);
  ZSTD_CCtx *zstd = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setParameter(zstd, ZSTD_c_strategy, ZSTD_fast);
  ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, 24);
  ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, 17);
  ZSTD_CCtx_setParameter(zstd, ZSTD_c_minMatch, 7);
  pthread_barrier_wait(&ready);
  for (;;) {
    long index = atomic_fetch_add(&next_chunk, 1);
    if (index >= chunks_count) return NULL;
    const unsigned char *chunk = data + (size_t)index % chunks_in_data * chunk_bytes;
    const unsigned char *body = chunk;
    size_t length = chunk_bytes;
    if (!detect || compressible(zstd, chunk, compressed, bound)) {
      size_t smaller = ZSTD_compress2(zstd, compressed, bound, chunk, chunk_bytes);
      if (ZSTD_isError(smaller)) fail("zstd");
      if (smaller < length) {
        body = compressed;
        length = smaller;
      }
    }
    size_t file_bytes = encrypt_and_hash(file, body, length);
    store(index, file, file_bytes);
    atomic_fetch_add(&stored_bytes, (long)file_bytes);
  }
}

int main(int argc, char **argv) {
  if (argc != 7) return fprintf(stderr, "usage: chunk-line DIRECTORY DATA CHUNK_BYTES CHUNKS THREADS DETECT\n"), 2;
  directory = argv[1];
  chunk_bytes = strtoul(argv[3], NULL, 10);
  chunks_count = strtol(argv[4], NULL, 10);
  int threads_count = atoi(argv[5]);
  detect = atoi(argv[6]);
  FILE *in = fopen(argv[2], "rb");
  struct stat facts;
  if (in == NULL || fstat(fileno(in), &facts) != 0) fail(argv[2]);
  chunks_in_data = (size_t)facts.st_size / chunk_bytes;
  data = aligned(chunks_in_data * chunk_bytes);
  if (fread(data, chunk_bytes, chunks_in_data, in) != chunks_in_data) fail("read");
  fclose(in);
  if (threads_count < 1 || threads_count > 64 || chunks_in_data < 1) return 2;

  pthread_t threads[64];
  pthread_barrier_init(&ready, NULL, (unsigned)threads_count + 1);
  for (int i = 0; i < threads_count; i++) pthread_create(&threads[i], NULL, work, NULL);
  pthread_barrier_wait(&ready);
  struct timespec from, to;
  double cpu_before = cpu_seconds();
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < threads_count; i++) pthread_join(threads[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &to);
  double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
  double cpu = cpu_seconds() - cpu_before;
  printf("{\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"storedBytes\":%ld}\n", seconds, cpu, (long)stored_bytes);
  return 0;
}
