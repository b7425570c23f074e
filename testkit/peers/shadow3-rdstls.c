// Loaded into freerdp-shadow 3, whose library knows RDSTLS and whose command line has no word for it: RDSTLS is on for every peer, and who
// logs on is compared with RDSTLS_USER, RDSTLS_DOMAIN and RDSTLS_PASSWORD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int32_t BOOL;
typedef BOOL (*set_bool)(void* settings, size_t key, BOOL value);
typedef BOOL (*set_string)(void* settings, size_t key, const char* value);

// Their numbers change with versions.
static size_t key_of(const char* wanted) {
  const char* (*name_of)(size_t) = dlsym(RTLD_NEXT, "freerdp_settings_get_name_for_key");
  for (size_t key = 0; key < 6000; key++) {
    const char* name = name_of(key);
    if (name && !strcmp(name, wanted)) return key;
  }
  abort();
}

BOOL freerdp_settings_set_bool(void* settings, size_t key, BOOL value) {
  static size_t rdstls, user, domain, password;
  set_bool real = dlsym(RTLD_NEXT, "freerdp_settings_set_bool");
  set_string text = dlsym(RTLD_NEXT, "freerdp_settings_set_string");
  if (!rdstls) {
    user = key_of("FreeRDP_Username");
    domain = key_of("FreeRDP_Domain");
    password = key_of("FreeRDP_Password");
    rdstls = key_of("FreeRDP_RdstlsSecurity");
  }
  real(settings, rdstls, 1);
  text(settings, user, getenv("RDSTLS_USER"));
  text(settings, domain, getenv("RDSTLS_DOMAIN"));
  text(settings, password, getenv("RDSTLS_PASSWORD"));
  return real(settings, key, value);
}
