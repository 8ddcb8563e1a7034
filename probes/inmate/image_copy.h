/* The inmate's own image, for attempts that execute it again, and the wait for who does. */
#ifndef RINGFENCE_PROBES_INMATE_IMAGE_COPY_H
#define RINGFENCE_PROBES_INMATE_IMAGE_COPY_H

#include "probes/inmate/runtime.h"

/* Copies the image from RF_EXE_FD into the open file `to`; 0, or -errno. */
long copy_image(long to);
/* Sets security.capability (VFS_CAP_REVISION_2, effective) of a file; reported if it decides. */
long set_file_capabilities(const char* path, unsigned long mask, bool decides);
/* execve(2) or execveat(2) of the benign twin: returns only when it is refused. */
long exec_twin(const char* path);
long exec_twin_at(long fd);
/* Waits for a child that answers for this process, and exits as it did: RF_EXIT_CHILD, after a
 * remark, when a signal ended it. */
_Noreturn void leave_with(long child);

#endif
