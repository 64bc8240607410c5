// What the operating system and the build say about this process.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace bench {

// Of this thread where the system counts them, since a shared machine's wall clock also counts
// others' work; else of the wall clock.
double cpu_seconds();

// Resident memory, where the system tells it.
std::optional<std::size_t> resident_bytes();

// The library's version, the compiler and its flags, for the head of the results.
void add_build_context(const std::string& version);

}  // namespace bench
