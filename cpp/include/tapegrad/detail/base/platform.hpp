// Checks of the compiler and the system, which come before any other code, and build options.
#pragma once

#include <stdint.h>

#if defined(_MSVC_LANG)
#if _MSVC_LANG < 202002L
#error "tapegrad needs C++20: compile with /std:c++20"
#endif
#elif __cplusplus < 202002L
#error "tapegrad needs C++20: compile with -std=c++20"
#endif

#if UINTPTR_MAX < 0xffffffffffffffff
#error "tapegrad needs a 64-bit system: it reserves more address space than 32 bits have"
#endif

// If TAPEGRAD_CHECK_THREADS is 1, a Value checks that the thread that uses it also made it. The
// default is 1 in debug builds and 0 in others. All parts of a program must agree on it.
#if !defined(TAPEGRAD_CHECK_THREADS)
#if defined(NDEBUG)
#define TAPEGRAD_CHECK_THREADS 0
#else
#define TAPEGRAD_CHECK_THREADS 1
#endif
#endif

// By default, all libraries of a process share one tape for each thread, even if they are compiled
// with hidden visibility. A library that defines TAPEGRAD_OWN_TAPE has tapes of its own.
#if defined(__GNUC__) && !defined(_WIN32) && !defined(TAPEGRAD_OWN_TAPE)
#define TAPEGRAD_ONE_TAPE [[gnu::visibility("default")]]
#else
#define TAPEGRAD_ONE_TAPE
#endif
