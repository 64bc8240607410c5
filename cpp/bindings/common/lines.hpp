// Lines of the user's program, and the map from recorded numbers to these lines.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <string>

#include "tapegrad/detail/graph/node.hpp"
#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad::python {

// A line of Python code; it may be unknown.
class Line {
 public:
  Line() = default;
  // The current line of this thread: that of the innermost frame outside tapegrad's own files.
  static Line here();

  bool is_known() const { return static_cast<bool>(code_); }
  // The file and the number, as in "file.py:12". Requires is_known().
  std::string text() const;

 private:
  pybind11::object code_;
  int number_ = 0;
};

// The line that made a node. The node owns this object.
struct Origin : Owned {
  explicit Origin(Line line) : line(std::move(line)) {}
  Line line;
};

// The lines that recorded the values of a recording. Only values recorded while detect_anomaly()
// was on have one.
class Lines {
 public:
  // Sets the line of each value from `begin` to `end` that has none yet.
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

  // Removes the lines of all values from `place` on.
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

  std::map<ValueId, Line> from_;  // each line holds up to the next key
};

}  // namespace tapegrad::python
