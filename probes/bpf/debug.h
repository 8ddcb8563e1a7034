/* rf_debug(FORMAT, up to three values): a line for trace_pipe in objects that are compiled with
 * -DRF_DEBUG (CMake's Debug), and nothing at all in others: no code, no call. The kernel mixes the
 * lines of all programs in one buffer, or in that of an instance (docs/architecture.md). */
#ifndef RINGFENCE_PROBES_BPF_DEBUG_H
#define RINGFENCE_PROBES_BPF_DEBUG_H

#ifdef RF_DEBUG
#define rf_debug(format, ...) bpf_printk("ringfence: " format, ##__VA_ARGS__)
#else
#define rf_debug(format, ...) ((void)0)
#endif

#endif
