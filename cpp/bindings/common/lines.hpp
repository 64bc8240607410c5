// Lines of the user's program, and which of them recorded what.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <string>

#include "tapegrad/detail/graph/node.hpp"
#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad::python {

// A line of Python, or none.
class Line {
 public:
  Line() = default;
  // The one that this thread is at: of the innermost frame that is not of tapegrad's own files.
  static Line here();

  bool is_known() const { return static_cast<bool>(code_); }
  // "file.py:12".
  std::string text() const;

 private:
  pybind11::object code_;
  int number_ = 0;
};

// The line that a node was made at, for as long as the node is.
struct Origin : Owned {
  explicit Origin(Line line) : line(std::move(line)) {}
  Line line;
};

// The lines that the places of a recording were recorded at, as far as somebody noted them.
class Lines {
 public:
  // Of the places from `begin` to `end` that have none yet.
  void add(ValueId begin, ValueId end, const Line& line) {
    if (begin >= end || !line.is_known()) return;
    split(begin);
    split(end);
    for (auto at = from_.find(begin); at->first < end; ++at)
      if (!at->second.is_known()) at->second = line;
  }

  Line at(ValueId place) const {
    const auto next = from_.upper_bound(place);
    return next != from_.begin() ? std::prev(next)->second : Line();
  }

  // What was recorded from `place` on is forgotten.
  void rewind(ValueId place) {
    from_.erase(from_.lower_bound(place), from_.end());
    if (!from_.empty()) from_[place] = Line();
  }
  void clear() { from_.clear(); }

 private:
  void split(ValueId place) {
    const auto [at, is_new] = from_.try_emplace(place);
    if (is_new && at != from_.begin()) at->second = std::prev(at)->second;
  }

  std::map<ValueId, Line> from_;  // each up to the next
};

}  // namespace tapegrad::python
