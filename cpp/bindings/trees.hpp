// Trees: numbers in nested containers, as arguments and results of transformed functions.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "traced.hpp"

namespace tapegrad::python {

namespace py = pybind11;

// How numbers are nested: a tree's nodes in the order in which they are met.
class Structure {
 public:
  enum class Kind : std::uint8_t {
    number,
    array,
    list,
    tuple,
    named_tuple,  // of the class `object`
    dict,         // with the keys `object`
    dataclass,    // of the class `object`, with its fields in `more`
    constant,     // anything else: `object` itself
  };
  struct Node {
    Kind kind;
    std::size_t count = 0;  // of children; of an array's elements
    py::object object, more;
    std::vector<py::ssize_t> shape;
  };

  // Appends what `tree` is, and the numbers in it: floats and traced numbers. `name` is for
  // messages. Where constants are not wanted, they are a TypeError.
  void add(py::handle tree, const std::string& name, bool constants,
           std::vector<py::object>& numbers);

  // The tree with these numbers in it; blocks of arrays become arrays of floats, or of objects
  // where one of them is traced. ValueError for a wrong number of them.
  py::object unflatten(const std::vector<py::object>& numbers) const;
  py::object unflatten(const double* numbers) const;
  // The tree with an object in the place of every number and array.
  py::object rebuild(const std::vector<py::object>& blocks) const;

  // Reads the numbers of a tree of this structure. False, with no error set, where it has another
  // one or holds anything that takes longer to read.
  bool read(py::handle tree, double*& numbers) const;

  // The same of a call: the structure is that of its arguments and keywords, which may be null.
  bool read_call(py::handle args, py::handle keywords, double*& numbers) const;

  std::size_t size() const { return size_; }  // how many numbers
  const std::vector<Node>& nodes() const { return nodes_; }
  bool operator==(const Structure& other) const { return equals(other, true); }
  // Whether numbers are nested in the same way, whatever the constants are.
  bool nests_as(const Structure& other) const { return equals(other, false); }
  int traverse(visitproc visit, void* arg) const;

 private:
  template <class Take>
  py::object build(std::size_t& node, Take& take) const;
  bool read(std::size_t& node, py::handle tree, double*& numbers) const;
  bool equals(const Structure& other, bool constants) const;

  std::vector<Node> nodes_;
  std::size_t size_ = 0;
};

}  // namespace tapegrad::python
