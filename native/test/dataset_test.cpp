// Data sets refuse what is wrong with the argument's name, the right code and
// the numbers that tell where, and keep what they were given.
#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "krylov/dataset.h"

namespace krylov {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check_error(const Status& status, ErrorCode code, const std::string& argument,
                 std::vector<std::int64_t> received = {}) {
  CHECK(status.code == code);
  CHECK(std::string(status.argument) == argument);
  CHECK(std::string(status.expected) != "");
  REQUIRE(status.received_count >= static_cast<int>(received.size()));
  for (std::size_t i = 0; i < received.size(); ++i) CHECK(status.received[i] == received[i]);
}

template <class S>
Status create(const std::vector<S>& values, DType dtype, std::int64_t rows, std::int64_t columns,
              std::unique_ptr<Dataset>& out) {
  return Dataset::create(values.data(), dtype, values.size() * sizeof(S), rows, columns, out);
}

std::unique_ptr<Dataset> two_rows() {
  std::unique_ptr<Dataset> data;
  REQUIRE(create(std::vector<float>{1, 2, 3, 4, 5, 6}, DType::kFloat32, 2, 3, data).ok());
  return data;
}

TEST_CASE("inputs are copied in the type they come in") {
  std::unique_ptr<Dataset> data;
  std::vector<std::uint8_t> bytes{0, 1, 127, 255};
  REQUIRE(create(bytes, DType::kUint8, 2, 2, data).ok());
  bytes.assign(4, 9);
  CHECK(data->dtype() == DType::kUint8);
  CHECK(data->rows() == 2);
  CHECK(data->columns() == 2);
  CHECK(data->bytes() == 4);
  CHECK(static_cast<const std::uint8_t*>(data->inputs())[3] == 255);
  REQUIRE(create(std::vector<double>{1e300, -0.5}, DType::kFloat64, 1, 2, data).ok());
  CHECK(static_cast<const double*>(data->inputs())[0] == 1e300);
  CHECK(data->targets().empty());
  CHECK(data->weights() == nullptr);
  REQUIRE(create(std::vector<float>{}, DType::kFloat32, 0, 7, data).ok());
  CHECK(data->rows() == 0);
}

TEST_CASE("inputs of the wrong type, shape or value are refused") {
  std::unique_ptr<Dataset> data;
  const std::vector<float> six(6, 1.0f);
  check_error(create(std::vector<std::int32_t>(6), DType::kInt32, 2, 3, data), ErrorCode::kDType, "inputs");
  check_error(create(six, DType::kFloat32, 2, 2, data), ErrorCode::kShape, "inputs", {6, 2, 2});
  check_error(create(six, DType::kFloat32, 3, 3, data), ErrorCode::kShape, "inputs", {6, 3, 3});
  check_error(create(six, DType::kFloat64, 2, 3, data), ErrorCode::kShape, "inputs", {3, 2, 3});
  check_error(create(six, DType::kFloat32, -1, 3, data), ErrorCode::kShape, "inputs", {-1, 3});
  check_error(create(six, DType::kFloat32, 6, 0, data), ErrorCode::kShape, "inputs", {6, 0});
  check_error(create(six, DType::kFloat32, -2, -3, data), ErrorCode::kShape, "inputs", {-2, -3});
  // Products of these would overflow.
  check_error(create(six, DType::kFloat32, std::int64_t(1) << 32, 3, data), ErrorCode::kShape, "inputs");
  check_error(create(six, DType::kFloat32, 1, (std::int64_t(1) << 24) + 1, data), ErrorCode::kShape, "inputs");
  check_error(create(six, DType::kFloat32, std::numeric_limits<std::int64_t>::max(),
                     std::numeric_limits<std::int64_t>::max(), data),
              ErrorCode::kShape, "inputs");
  check_error(create(six, DType::kFloat32, (std::int64_t(1) << 32) - 1, std::int64_t(1) << 24, data), ErrorCode::kShape,
              "inputs");
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    std::vector<float> floats(6, 1.0f);
    floats[4] = static_cast<float>(bad);
    check_error(create(floats, DType::kFloat32, 2, 3, data), ErrorCode::kNotFinite, "inputs", {1, 1});
    std::vector<double> doubles(6, 1.0);
    doubles[2] = bad;
    check_error(create(doubles, DType::kFloat64, 2, 3, data), ErrorCode::kNotFinite, "inputs", {0, 2});
  }
  CHECK(data == nullptr);
}

TEST_CASE("labels are one a row and not negative") {
  const auto data = two_rows();
  check_error(data->add_labels(std::vector<std::int32_t>{1}), ErrorCode::kShape, "targets", {1, 2});
  check_error(data->add_labels(std::vector<std::int32_t>{1, 2, 3}), ErrorCode::kShape, "targets", {3, 2});
  check_error(data->add_labels(std::vector<std::int32_t>{1, -1}), ErrorCode::kShape, "targets", {1, -1});
  CHECK(data->targets().empty());
  REQUIRE(data->add_labels(std::vector<std::int32_t>{7, 0}).ok());
  REQUIRE(data->targets().size() == 1);
  CHECK(data->targets()[0].classes);
  CHECK(data->targets()[0].largest_label == 7);
  CHECK(data->targets()[0].labels[0] == 7);
}

TEST_CASE("target values have the rows of the inputs and are finite") {
  const auto data = two_rows();
  const auto add = [&](std::vector<double> values, DType dtype, std::size_t bytes, std::int64_t columns) {
    return data->add_values(values.data(), dtype, bytes, columns);
  };
  check_error(add({1, 2}, DType::kUint8, 2, 1), ErrorCode::kDType, "targets");
  check_error(add({1, 2}, DType::kInt32, 8, 1), ErrorCode::kDType, "targets");
  check_error(add({1, 2}, DType::kFloat64, 8, 1), ErrorCode::kShape, "targets", {1, 2, 1});
  check_error(add({1, 2}, DType::kFloat64, 16, 2), ErrorCode::kShape, "targets", {2, 2, 2});
  check_error(add({1, 2}, DType::kFloat64, 16, 0), ErrorCode::kShape, "targets", {2, 0});
  check_error(add({1, kNaN}, DType::kFloat64, 16, 1), ErrorCode::kNotFinite, "targets", {1, 0});
  CHECK(data->targets().empty());
  REQUIRE(add({1, 2, 3, 4}, DType::kFloat64, 32, 2).ok());
  REQUIRE(data->add_labels(std::vector<std::int32_t>{0, 1}).ok());
  REQUIRE(data->targets().size() == 2);
  CHECK(data->targets()[0].columns == 2);
  CHECK(data->targets()[0].dtype == DType::kFloat64);
  double last = 0;
  std::memcpy(&last, data->targets()[0].values.data() + 24, 8);
  CHECK(last == 4);
  CHECK_FALSE(data->targets()[0].classes);
  CHECK(data->bytes() == 24 + 32 + 8);
}

TEST_CASE("sample weights are one a row, finite and not negative") {
  const auto data = two_rows();
  check_error(data->set_weights(std::vector<double>{1}), ErrorCode::kShape, "sampleWeights", {1, 2});
  check_error(data->set_weights(std::vector<double>{}), ErrorCode::kShape, "sampleWeights", {0, 2});
  for (const double bad : {kNaN, kInfinity, -1e-300}) {
    check_error(data->set_weights(std::vector<double>{0, bad}), ErrorCode::kNotFinite, "sampleWeights", {1});
  }
  CHECK(data->weights() == nullptr);
  REQUIRE(data->set_weights(std::vector<double>{0, 2.5}).ok());
  CHECK(data->weights()[1] == 2.5);
}

}  // namespace
}  // namespace krylov
