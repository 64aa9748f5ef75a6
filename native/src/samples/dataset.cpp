#include "krylov/dataset.h"

#include <cmath>
#include <cstring>

namespace krylov {

namespace {

// A NaN or infinity in a data set is the caller's mistake, found here once.
template <Scalar T>
std::int64_t first_not_finite(const void* values, std::int64_t count) noexcept {
  const T* v = static_cast<const T*>(values);
  for (std::int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(v[i])) return i;
  }
  return -1;
}

Status check_values(const char* argument, const void* values, DType dtype, std::size_t bytes, std::int64_t rows,
                    std::int64_t columns) noexcept {
  if (rows < 0 || columns < 1 || rows > (std::int64_t(1) << 32) - 1 || columns > (std::int64_t(1) << 24)) {
    return Status::error(ErrorCode::kShape, argument, "fewer than 2^32 rows of 1 to 2^24 columns", rows, columns);
  }
  const auto needed = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) * size_of(dtype);
  if (bytes != needed) {
    return Status::error(ErrorCode::kShape, argument, "as many elements as its shape has",
                         static_cast<std::int64_t>(bytes / size_of(dtype)), rows, columns);
  }
  std::int64_t bad = -1;
  if (dtype == DType::kFloat32) bad = first_not_finite<float>(values, rows * columns);
  if (dtype == DType::kFloat64) bad = first_not_finite<double>(values, rows * columns);
  if (bad >= 0) {
    return Status::error(ErrorCode::kNotFinite, argument, "finite numbers; the row and column of the first that is not",
                         bad / columns, bad % columns);
  }
  return Status::success();
}

}  // namespace

Status Dataset::create(const void* inputs, DType dtype, std::size_t bytes, std::int64_t rows, std::int64_t columns,
                       std::unique_ptr<Dataset>& out) {
  if (dtype == DType::kInt32) return Status::error(ErrorCode::kDType, "inputs", "float32, float64 or uint8");
  if (Status s = check_values("inputs", inputs, dtype, bytes, rows, columns); !s.ok()) return s;
  auto data = std::make_unique<Dataset>();
  data->rows_ = rows;
  data->columns_ = columns;
  data->dtype_ = dtype;
  data->inputs_ = AlignedBuffer<std::byte>(bytes);
  if (bytes > 0) std::memcpy(data->inputs_.data(), inputs, bytes);
  out = std::move(data);
  return Status::success();
}

Status Dataset::add_labels(std::span<const std::int32_t> labels) {
  if (static_cast<std::int64_t>(labels.size()) != rows_) {
    return Status::error(ErrorCode::kShape, "targets", "one label a row", static_cast<std::int64_t>(labels.size()), rows_);
  }
  DatasetTargets t;
  t.classes = true;
  t.columns = 1;
  t.labels = AlignedBuffer<std::int32_t>(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) {
      return Status::error(ErrorCode::kShape, "targets", "class indices of at least 0; the index and value of the first below",
                           static_cast<std::int64_t>(i), labels[i]);
    }
    t.labels[i] = labels[i];
    if (labels[i] > t.largest_label) t.largest_label = labels[i];
  }
  targets_.push_back(std::move(t));
  return Status::success();
}

Status Dataset::add_values(const void* values, DType dtype, std::size_t bytes, std::int64_t columns) {
  if (dtype != DType::kFloat32 && dtype != DType::kFloat64) {
    return Status::error(ErrorCode::kDType, "targets", "float32 or float64");
  }
  if (Status s = check_values("targets", values, dtype, bytes, rows_, columns); !s.ok()) return s;
  DatasetTargets t;
  t.dtype = dtype;
  t.columns = columns;
  t.values = AlignedBuffer<std::byte>(bytes);
  if (bytes > 0) std::memcpy(t.values.data(), values, bytes);
  targets_.push_back(std::move(t));
  return Status::success();
}

Status Dataset::set_weights(std::span<const double> weights) {
  if (static_cast<std::int64_t>(weights.size()) != rows_) {
    return Status::error(ErrorCode::kShape, "sampleWeights", "one weight a row", static_cast<std::int64_t>(weights.size()),
                         rows_);
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!std::isfinite(weights[i]) || weights[i] < 0) {
      return Status::error(ErrorCode::kNotFinite, "sampleWeights", "finite weights of at least 0; the index of the first that is not",
                           static_cast<std::int64_t>(i));
    }
  }
  weights_ = AlignedBuffer<double>(weights.size());
  if (!weights.empty()) std::memcpy(weights_.data(), weights.data(), weights.size_bytes());
  return Status::success();
}

std::size_t Dataset::bytes() const noexcept {
  std::size_t total = inputs_.bytes() + weights_.bytes();
  for (const DatasetTargets& t : targets_) total += t.labels.bytes() + t.values.bytes();
  return total;
}

}  // namespace krylov
