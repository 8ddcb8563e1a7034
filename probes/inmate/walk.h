/* Directory listings and bounded walks, by getdents64(2). */
#ifndef RINGFENCE_PROBES_INMATE_WALK_H
#define RINGFENCE_PROBES_INMATE_WALK_H

#include "probes/inmate/runtime.h"

enum { kWalkDepth = 4, kWalkEntries = 500 };

struct walk_list {
  long fd;
  long size;  /* bytes in `buffer` */
  long at;    /* the next entry */
  long error; /* what ended the listing: 0 at its end, or -errno */
  unsigned char type;
  _Alignas(8) char buffer[8192];
};
void walk_list_open(struct walk_list* list, long fd);
/* The next name but "." and "..", or null. `type` is its DT_* type. */
const char* walk_list_next(struct walk_list* list);

/* Opens the regular files below `directory` with `flags`, depth first, at most kWalkEntries entries
 * and kWalkDepth levels, links not followed; gives each that opens to `use`, until that returns
 * >= 0. Returns that, or the refusal that says most. Only the opens that decide are reported. */
long walk_open(const char* directory, int flags, long (*use)(long fd));

#endif
