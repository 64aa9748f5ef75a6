// A comparison of many numbers that asserts once, and says where it failed
// first: index, both values, their difference and the bound on it.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>

namespace krylov::test {

class Comparison {
 public:
  void equal(std::int64_t row, std::int64_t column, double actual, double expected) {
    ++count_;
    if (actual == expected) [[likely]]
      return;
    note(row, column, actual, expected, 0);
  }
  // False for NaN.
  void within(std::int64_t row, std::int64_t column, double actual, double expected, double bound) {
    ++count_;
    if (std::abs(actual - expected) <= bound) [[likely]]
      return;
    note(row, column, actual, expected, bound);
  }
  std::int64_t count() const { return count_; }

  // The assertion; `what` names the case.
  void check(const std::string& what) const {
    INFO(what << ": " << failures_ << " of " << count_ << " differ; first " << first_);
    CHECK(failures_ == 0);
  }

 private:
  void note(std::int64_t row, std::int64_t column, double actual, double expected, double bound) {
    if (failures_++ > 0) return;
    std::ostringstream text;
    text.precision(17);
    text << "[" << row << ", " << column << "]: " << actual << " for " << expected << ", difference "
         << std::abs(actual - expected) << ", bound " << bound << ", ratio " << std::abs(actual - expected) / bound;
    first_ = text.str();
  }
  std::int64_t count_ = 0, failures_ = 0;
  std::string first_ = "none";
};

}  // namespace krylov::test
