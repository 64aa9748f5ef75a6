// The layer-wise diagonal of Becker & LeCun 1988 in plain loops, for networks
// of dense layers, residual sums and dropout that is off.
#pragma once

#include <vector>

#include "reference/bounded.h"
#include "support/point_cases.h"

namespace krylov::test {

class LayerwiseTwin {
 public:
  LayerwiseTwin(const PointProblem& problem, bool curved) : problem_(problem), twin_(problem), curved_(curved) {}

  Values diagonal() {
    Values out(twin_.size(), 0.0);
    for (std::int64_t r = 0; r < problem_.table.rows; ++r) add_sample(r, out);
    return out;
  }

 private:
  enum class Step { kDense, kFork, kJoin };
  struct Record {
    Step step;
    const LayerSpec* spec = nullptr;
    std::size_t offset = 0;
    Values x, z;
  };
  // h and the derivative of the loss by one row of activations.
  struct Back {
    Values h, slope;
  };

  Values forward(const std::vector<LayerSpec>& layers, Values x, std::size_t& offset,
                 std::vector<Record>& records) const {
    for (const LayerSpec& layer : layers) {
      if (layer.kind == LayerKind::kDropout) continue;
      if (layer.kind == LayerKind::kResidual) {
        records.push_back({Step::kFork, nullptr, 0, {}, {}});
        const Values f = forward(layer.layers, x, offset, records);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] += f[i];
        records.push_back({Step::kJoin, nullptr, 0, {}, {}});
        continue;
      }
      const auto units = static_cast<std::size_t>(layer.units);
      Record record{Step::kDense, &layer, offset, x, Values(units, 0.0)};
      for (std::size_t o = 0; o < units; ++o) {
        for (std::size_t i = 0; i < x.size(); ++i) record.z[o] += problem_.parameters[offset + o * x.size() + i] * x[i];
        if (layer.bias) record.z[o] += problem_.parameters[offset + units * x.size() + o];
      }
      offset += units * (x.size() + (layer.bias ? 1 : 0));
      x.clear();
      for (const double z : record.z) x.push_back(reference::activate(layer.activation, z));
      records.push_back(std::move(record));
    }
    return x;
  }

  Back backward(const std::vector<Record>& records, Back back, Values& out) const {
    std::vector<Back> skips;
    for (std::size_t i = records.size(); i-- > 0;) {
      const Record& record = records[i];
      if (record.step == Step::kJoin) {
        skips.push_back(back);
      } else if (record.step == Step::kFork) {
        for (std::size_t k = 0; k < back.h.size(); ++k) {
          back.h[k] += skips.back().h[k];
          back.slope[k] += skips.back().slope[k];
        }
        skips.pop_back();
      } else {
        back = through_dense(record, back, out);
      }
    }
    return back;
  }

  Back through_dense(const Record& record, const Back& back, Values& out) const {
    const std::size_t units = record.z.size(), inputs = record.x.size();
    Back before{Values(inputs, 0.0), Values(inputs, 0.0)};
    for (std::size_t o = 0; o < units; ++o) {
      const double slope = reference::activation_slope(record.spec->activation, record.z[o]);
      double h = slope * slope * back.h[o];
      if (curved_) h += reference::activation_curvature(record.spec->activation, record.z[o]) * back.slope[o];
      for (std::size_t i = 0; i < inputs; ++i) {
        const double w = problem_.parameters[record.offset + o * inputs + i];
        out[record.offset + o * inputs + i] += h * record.x[i] * record.x[i];
        before.h[i] += h * w * w;
        before.slope[i] += slope * back.slope[o] * w;
      }
      if (record.spec->bias) out[record.offset + units * inputs + o] += h;
    }
    return before;
  }

  void add_sample(std::int64_t r, Values& out) const {
    std::size_t offset = 0;
    std::vector<Record> trunk;
    const Values x = forward(problem_.spec.layers, twin_.input(r), offset, trunk);
    Back total{Values(x.size(), 0.0), Values(x.size(), 0.0)};
    std::vector<HeadSpec> heads = problem_.spec.heads;
    if (heads.empty()) heads.emplace_back();
    for (std::size_t h = 0; h < heads.size(); ++h) {
      std::vector<Record> records;
      const Values o = forward(heads[h].layers, x, offset, records);
      const LossSpec& loss = twin_.losses()[h];
      const double factor = twin_.factor(h, r) / twin_.divisor(h);
      Back back{{}, reference::sample_loss_slope(loss, o, twin_.target(h, r))};
      for (std::size_t k = 0; k < o.size(); ++k) {
        Values unit(o.size(), 0.0);
        unit[k] = 1;
        back.h.push_back(factor * reference::sample_loss_curvature(loss, o, twin_.target(h, r), unit)[k]);
        back.slope[k] *= factor;
      }
      back = backward(records, std::move(back), out);
      for (std::size_t i = 0; i < x.size(); ++i) {
        total.h[i] += back.h[i];
        total.slope[i] += back.slope[i];
      }
    }
    backward(trunk, std::move(total), out);
  }

  const PointProblem& problem_;
  PointTwin twin_;
  bool curved_;
};

}  // namespace krylov::test
