// The whole network once more, one sample at a time, in plain loops: what the
// fast path is held against. Shares with it the structs of its spec and nothing
// else. Number is double, or Bounded for the error that rounding may cause.
#pragma once

#include <cstddef>
#include <vector>

#include "krylov/network.h"
#include "reference/bounded.h"

namespace krylov::reference {

using Values = std::vector<double>;

// One sample at given parameters (public order).
struct Sample {
  const Values& parameters;
  const Values& input;
  // What each dropout layer multiplies with, in the order of execution; empty when dropout is off.
  std::vector<Values> masks = {};
};

template <class Number>
class ReferenceNetwork {
 public:
  using Row = std::vector<Number>;

  explicit ReferenceNetwork(const NetworkSpec& spec);
  ReferenceNetwork(const ReferenceNetwork&) = delete;  // nodes point into the spec
  ReferenceNetwork& operator=(const ReferenceNetwork&) = delete;

  std::size_t parameter_count() const { return parameter_count_; }
  std::size_t dropout_count() const { return dropouts_; }
  const std::vector<std::size_t>& head_widths() const { return head_widths_; }

  // One row a head.
  std::vector<Row> forward(const Sample& sample) const;
  // J' u: with u the loss's derivative by the outputs, one row a head, the sample's gradient.
  Row vjp(const Sample& sample, const std::vector<Values>& u) const;
  // J v by the R-operator (Pearlmutter 1994), one row a head.
  std::vector<Row> jvp(const Sample& sample, const Values& direction) const;

 private:
  struct Node {
    const LayerSpec* spec;
    std::size_t id, inputs, outputs;
    std::size_t offset = 0;   // of its parameters: weight, bias; gain, bias
    std::size_t dropout = 0;  // position among the dropout layers
    std::vector<Node> inner;  // of a residual block
  };
  // What the forward pass leaves behind at a node.
  struct Record {
    Row input, pre, normalized;
    Number inverse_deviation = 0.0;
  };
  using Trace = std::vector<Record>;

  std::vector<Node> plan(const std::vector<LayerSpec>& layers, std::size_t& width);
  Row forward_through(const std::vector<Node>& nodes, const Sample& sample, Row x, Trace& trace) const;
  Row forward_node(const Node& node, const Sample& sample, const Row& x, Trace& trace) const;
  Row backward_through(const std::vector<Node>& nodes, const Sample& sample, Row g, const Trace& trace,
                       Row& gradient) const;
  Row backward_node(const Node& node, const Sample& sample, const Row& g, const Trace& trace, Row& gradient) const;
  Row tangent_through(const std::vector<Node>& nodes, const Sample& sample, Row rx, const Trace& trace,
                      const Values& direction) const;
  Row tangent_node(const Node& node, const Sample& sample, const Row& rx, const Trace& trace,
                   const Values& direction) const;

  NetworkSpec spec_;
  std::vector<Node> trunk_;
  std::vector<std::vector<Node>> heads_;
  std::vector<std::size_t> head_widths_;
  std::size_t parameter_count_ = 0, dropouts_ = 0, nodes_ = 0;
};

}  // namespace krylov::reference
