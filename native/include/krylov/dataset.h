// Rows of inputs with a target for each head, owned by the core and kept in the
// type they came in; converted and scaled when a batch gathers them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "krylov/buffer.h"
#include "krylov/dtype.h"
#include "krylov/status.h"

namespace krylov {

struct DatasetTargets {
  bool classes = false;
  AlignedBuffer<std::int32_t> labels;  // [rows] when classes
  AlignedBuffer<std::byte> values;     // [rows, columns] of `dtype` otherwise
  DType dtype = DType::kFloat32;
  std::int64_t columns = 0;
  std::int32_t largest_label = -1;
};

class Dataset {
 public:
  // Copies `bytes` of inputs. Checks that the length is rows * columns elements.
  static Status create(const void* inputs, DType dtype, std::size_t bytes, std::int64_t rows, std::int64_t columns,
                       std::unique_ptr<Dataset>& out);
  // Targets are added one a head, in the order of the heads. Labels must not be negative.
  Status add_labels(std::span<const std::int32_t> labels);
  Status add_values(const void* values, DType dtype, std::size_t bytes, std::int64_t columns);
  // Not negative, finite, one a row.
  Status set_weights(std::span<const double> weights);

  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t columns() const noexcept { return columns_; }
  DType dtype() const noexcept { return dtype_; }
  const void* inputs() const noexcept { return inputs_.data(); }
  const std::vector<DatasetTargets>& targets() const noexcept { return targets_; }
  const double* weights() const noexcept { return weights_.empty() ? nullptr : weights_.data(); }
  std::size_t bytes() const noexcept;

 private:
  std::int64_t rows_ = 0, columns_ = 0;
  DType dtype_ = DType::kFloat32;
  AlignedBuffer<std::byte> inputs_;
  std::vector<DatasetTargets> targets_;
  AlignedBuffer<double> weights_;
};

}  // namespace krylov
