#include "reference/reference_network.h"

#include <utility>

namespace krylov::reference {

template <class Number>
ReferenceNetwork<Number>::ReferenceNetwork(const NetworkSpec& spec) : spec_(spec) {
  std::size_t width = static_cast<std::size_t>(spec_.inputs);
  trunk_ = plan(spec_.layers, width);
  for (const HeadSpec& head : spec_.heads) {
    std::size_t end = width;
    heads_.push_back(plan(head.layers, end));
    head_widths_.push_back(end);
  }
  if (heads_.empty()) {
    heads_.emplace_back();
    head_widths_.push_back(width);
  }
}

template <class Number>
auto ReferenceNetwork<Number>::plan(const std::vector<LayerSpec>& layers, std::size_t& width) -> std::vector<Node> {
  std::vector<Node> nodes;
  for (const LayerSpec& layer : layers) {
    Node node{&layer, nodes_++, width, width, parameter_count_, 0, {}};
    switch (layer.kind) {
      case LayerKind::kDense:
        node.outputs = static_cast<std::size_t>(layer.units);
        parameter_count_ += node.outputs * (node.inputs + (layer.bias ? 1 : 0));
        break;
      case LayerKind::kLayerNorm: parameter_count_ += 2 * width; break;
      case LayerKind::kDropout: node.dropout = dropouts_++; break;
      case LayerKind::kResidual: node.inner = plan(layer.layers, width); break;
    }
    width = node.outputs;
    nodes.push_back(std::move(node));
  }
  return nodes;
}

template <class Number>
auto ReferenceNetwork<Number>::forward_node(const Node& node, const Sample& sample, const Row& x, Trace& trace) const
    -> Row {
  const Values& p = sample.parameters;
  Record& record = trace[node.id];
  record.input = x;
  Row y(node.outputs);
  switch (node.spec->kind) {
    case LayerKind::kDense:
      record.pre.resize(node.outputs);
      for (std::size_t o = 0; o < node.outputs; ++o) {
        Row terms;
        for (std::size_t i = 0; i < node.inputs; ++i)
          terms.push_back(x[i] * Number(p[node.offset + o * node.inputs + i]));
        if (node.spec->bias) terms.push_back(Number(p[node.offset + node.outputs * node.inputs + o]));
        record.pre[o] = sum(terms);
        y[o] = activate(node.spec->activation, record.pre[o]);
      }
      break;
    case LayerKind::kLayerNorm: {
      using std::sqrt;
      const Number count(static_cast<double>(node.inputs));
      const Number mean = sum(x) / count;
      Row centered, squares;
      for (const Number& v : x) {
        centered.push_back(v - mean);
        squares.push_back(centered.back() * centered.back());
      }
      record.inverse_deviation = Number(1.0) / sqrt(sum(squares) / count + Number(node.spec->epsilon));
      for (std::size_t i = 0; i < node.inputs; ++i) {
        record.normalized.push_back(centered[i] * record.inverse_deviation);
        y[i] = record.normalized[i] * Number(p[node.offset + i]) + Number(p[node.offset + node.inputs + i]);
      }
      break;
    }
    case LayerKind::kDropout:
      y = x;
      if (sample.masks.empty()) break;
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] * Number(sample.masks[node.dropout][i]);
      break;
    case LayerKind::kResidual: {
      const Row f = forward_through(node.inner, sample, x, trace);
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] + f[i];
      break;
    }
  }
  return y;
}

// Takes the derivative by the node's output, adds the parameters' part to the
// gradient and returns the derivative by the input.
template <class Number>
auto ReferenceNetwork<Number>::backward_node(const Node& node, const Sample& sample, const Row& g, const Trace& trace,
                                             Row& gradient) const -> Row {
  const Values& p = sample.parameters;
  const Record& record = trace[node.id];
  Row dx(node.inputs);
  switch (node.spec->kind) {
    case LayerKind::kDense: {
      Row dz(node.outputs);
      for (std::size_t o = 0; o < node.outputs; ++o) {
        dz[o] = g[o] * activation_slope(node.spec->activation, record.pre[o]);
        for (std::size_t i = 0; i < node.inputs; ++i) {
          gradient[node.offset + o * node.inputs + i] = dz[o] * record.input[i];
        }
        if (node.spec->bias) gradient[node.offset + node.outputs * node.inputs + o] = dz[o];
      }
      for (std::size_t i = 0; i < node.inputs; ++i) {
        Row terms;
        for (std::size_t o = 0; o < node.outputs; ++o) {
          terms.push_back(dz[o] * Number(p[node.offset + o * node.inputs + i]));
        }
        dx[i] = sum(terms);
      }
      break;
    }
    case LayerKind::kLayerNorm: {
      // With n the normalised row and s the inverse deviation: dn_j/dx_i = s ([i = j] - 1/K - n_i n_j / K).
      const Row& n = record.normalized;
      const Number count(static_cast<double>(node.inputs));
      Row scaled, products;
      for (std::size_t i = 0; i < node.inputs; ++i) {
        gradient[node.offset + i] = g[i] * n[i];
        gradient[node.offset + node.inputs + i] = g[i];
        scaled.push_back(g[i] * Number(p[node.offset + i]));
        products.push_back(scaled[i] * n[i]);
      }
      const Number mean = sum(scaled) / count, along = sum(products) / count;
      for (std::size_t i = 0; i < node.inputs; ++i) {
        dx[i] = record.inverse_deviation * (scaled[i] - mean - n[i] * along);
      }
      break;
    }
    case LayerKind::kDropout:
      dx = g;
      if (sample.masks.empty()) break;
      for (std::size_t i = 0; i < dx.size(); ++i) dx[i] = g[i] * Number(sample.masks[node.dropout][i]);
      break;
    case LayerKind::kResidual: {
      const Row inner = backward_through(node.inner, sample, g, trace, gradient);
      for (std::size_t i = 0; i < dx.size(); ++i) dx[i] = g[i] + inner[i];
      break;
    }
  }
  return dx;
}

template <class Number>
auto ReferenceNetwork<Number>::tangent_node(const Node& node, const Sample& sample, const Row& rx, const Trace& trace,
                                            const Values& v) const -> Row {
  const Values& p = sample.parameters;
  const Record& record = trace[node.id];
  Row ry(node.outputs);
  switch (node.spec->kind) {
    case LayerKind::kDense:
      for (std::size_t o = 0; o < node.outputs; ++o) {
        Row terms;
        for (std::size_t i = 0; i < node.inputs; ++i) {
          const std::size_t at = node.offset + o * node.inputs + i;
          terms.push_back(rx[i] * Number(p[at]));
          terms.push_back(record.input[i] * Number(v[at]));
        }
        if (node.spec->bias) terms.push_back(Number(v[node.offset + node.outputs * node.inputs + o]));
        ry[o] = sum(terms) * activation_slope(node.spec->activation, record.pre[o]);
      }
      break;
    case LayerKind::kLayerNorm: {
      const Row& n = record.normalized;
      const Number count(static_cast<double>(node.inputs));
      Row products;
      for (std::size_t i = 0; i < node.inputs; ++i) products.push_back(rx[i] * n[i]);
      const Number mean = sum(rx) / count, along = sum(products) / count;
      for (std::size_t i = 0; i < node.inputs; ++i) {
        const Number rn = record.inverse_deviation * (rx[i] - mean - n[i] * along);
        ry[i] = sum(Row{rn * Number(p[node.offset + i]), n[i] * Number(v[node.offset + i]),
                        Number(v[node.offset + node.inputs + i])});
      }
      break;
    }
    case LayerKind::kDropout:
      ry = rx;
      if (sample.masks.empty()) break;
      for (std::size_t i = 0; i < ry.size(); ++i) ry[i] = rx[i] * Number(sample.masks[node.dropout][i]);
      break;
    case LayerKind::kResidual: {
      const Row f = tangent_through(node.inner, sample, rx, trace, v);
      for (std::size_t i = 0; i < ry.size(); ++i) ry[i] = rx[i] + f[i];
      break;
    }
  }
  return ry;
}

template <class Number>
auto ReferenceNetwork<Number>::forward_through(const std::vector<Node>& nodes, const Sample& sample, Row x,
                                               Trace& trace) const -> Row {
  for (const Node& node : nodes) x = forward_node(node, sample, x, trace);
  return x;
}

template <class Number>
auto ReferenceNetwork<Number>::backward_through(const std::vector<Node>& nodes, const Sample& sample, Row g,
                                                const Trace& trace, Row& gradient) const -> Row {
  for (std::size_t i = nodes.size(); i-- > 0;) g = backward_node(nodes[i], sample, g, trace, gradient);
  return g;
}

template <class Number>
auto ReferenceNetwork<Number>::tangent_through(const std::vector<Node>& nodes, const Sample& sample, Row rx,
                                               const Trace& trace, const Values& direction) const -> Row {
  for (const Node& node : nodes) rx = tangent_node(node, sample, rx, trace, direction);
  return rx;
}

template <class Number>
auto ReferenceNetwork<Number>::forward(const Sample& sample) const -> std::vector<Row> {
  Trace trace(nodes_);
  const Row trunk = forward_through(trunk_, sample, Row(sample.input.begin(), sample.input.end()), trace);
  std::vector<Row> outputs;
  for (const auto& head : heads_) outputs.push_back(forward_through(head, sample, trunk, trace));
  return outputs;
}

template <class Number>
auto ReferenceNetwork<Number>::vjp(const Sample& sample, const std::vector<Values>& u) const -> Row {
  Trace trace(nodes_);
  const Row trunk = forward_through(trunk_, sample, Row(sample.input.begin(), sample.input.end()), trace);
  Row gradient(parameter_count_);
  std::vector<Row> parts(trunk.size());
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    (void)forward_through(heads_[h], sample, trunk, trace);
    const Row part = backward_through(heads_[h], sample, Row(u[h].begin(), u[h].end()), trace, gradient);
    for (std::size_t i = 0; i < part.size(); ++i) parts[i].push_back(part[i]);
  }
  Row g;
  for (const Row& part : parts) g.push_back(sum(part));
  (void)backward_through(trunk_, sample, g, trace, gradient);
  return gradient;
}

template <class Number>
auto ReferenceNetwork<Number>::jvp(const Sample& sample, const Values& direction) const -> std::vector<Row> {
  Trace trace(nodes_);
  const Row trunk = forward_through(trunk_, sample, Row(sample.input.begin(), sample.input.end()), trace);
  const Row moved = tangent_through(trunk_, sample, Row(sample.input.size()), trace, direction);
  std::vector<Row> tangents;
  for (const auto& head : heads_) {
    (void)forward_through(head, sample, trunk, trace);
    tangents.push_back(tangent_through(head, sample, moved, trace, direction));
  }
  return tangents;
}

template class ReferenceNetwork<double>;
template class ReferenceNetwork<Bounded>;

}  // namespace krylov::reference
