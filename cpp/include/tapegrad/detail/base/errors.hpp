// The exception for storage that is used up.
#pragma once

#include <new>
#include <string>
#include <utility>

#include "tapegrad/detail/base/platform.hpp"

namespace tapegrad {

// Thrown where storage of nodes, steps or instructions cannot grow: its indices or the machine's
// memory are used up.
class ArenaFull : public std::bad_alloc {
 public:
  explicit ArenaFull(std::string why) : why_(std::move(why)) {}
  const char* what() const noexcept override { return why_.c_str(); }

 private:
  std::string why_;
};

}  // namespace tapegrad
