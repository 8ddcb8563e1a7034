/* The inmate: finds the attempt that argv[1] names, makes it, says what came of it. */
#include "probes/inmate/voice.h"

_Noreturn void rf_main(long argc, char** argv);

_Noreturn void rf_main(long argc, char** argv) {
  const char* name = argc > 1 ? argv[1] : "";
  const int skip = argc > 1 ? 2 : (int)argc;
  const struct rf_params params = {(int)argc - skip, argv + skip};
  say_begin(name);
  finish(voice_attempt(find_attempt(name), &params));
}
