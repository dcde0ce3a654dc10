// Products of a weight matrix with few rows of inputs. Weights are read once, row by row as they lie in memory, which
// is what processors fetch ahead best; `gemv.py` says where that pays and builds this file.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

namespace {

using OptionalTensor = std::optional<at::Tensor>;

constexpr int64_t kBytesATask = 1 << 15;  // of weights: fewer are not worth another thread
constexpr int32_t kOffset = 128;          // of rounded inputs, unsigned as the processor's instruction has them
constexpr float kSmallest = 1e-12f;

at::Tensor outputs_for(const at::Tensor& rows, const at::Tensor& weight) {
  auto sizes = rows.sizes().vec();
  sizes.back() = weight.size(0);
  return at::empty(sizes, rows.options());
}

template <typename Weight>
inline float dot(const Weight* weights, const float* inputs, int64_t width) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) sum += static_cast<float>(weights[i]) * inputs[i];
  return sum;
}

// Compilers know this loop for VNNI's instruction, unless a pragma tells them how to go about it.
inline int32_t dot(const int8_t* weights, const uint8_t* inputs, int64_t width) {
  int32_t sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += static_cast<int32_t>(weights[i]) * static_cast<int32_t>(inputs[i]);
  return sum;
}

// Calls write(row, output, sum) with sum = rows[row] . weight[output].
template <typename Input, typename Weight, typename Write>
void multiply(const Input* rows, const Weight* weight, int64_t count, int64_t width, int64_t outputs, Write write) {
  const int64_t grain = std::max<int64_t>(1, kBytesATask / (width * static_cast<int64_t>(sizeof(Weight))));
  at::parallel_for(0, outputs, grain, [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end; ++output) {
      const Weight* const weights = weight + output * width;
      for (int64_t row = 0; row < count; ++row) {
        write(row, output, dot(weights, rows + row * width, width));
      }
    }
  });
}

template <typename Number>
at::Tensor multiply_floats(const at::Tensor& rows, const at::Tensor& weight, const OptionalTensor& bias) {
  const int64_t width = weight.size(1), outputs = weight.size(0), count = rows.numel() / width;
  const auto inputs = rows.to(at::kFloat).contiguous();
  auto result = outputs_for(rows, weight);
  const Number* const added = bias ? bias->const_data_ptr<Number>() : nullptr;
  Number* const to = result.mutable_data_ptr<Number>();
  multiply(inputs.const_data_ptr<float>(), weight.const_data_ptr<Number>(), count, width, outputs,
           [=](int64_t row, int64_t output, float sum) {
             to[row * outputs + output] = sum + (added ? static_cast<float>(added[output]) : 0.0f);
           });
  return result;
}

// rows (..., i), weight (o, i), bias (o), all fp32 or all bf16, to (..., o).
at::Tensor gemv(const at::Tensor& rows, const at::Tensor& weight, const OptionalTensor& bias) {
  if (weight.scalar_type() == at::kBFloat16) return multiply_floats<at::BFloat16>(rows, weight, bias);
  return multiply_floats<float>(rows, weight, bias);
}

// rows (..., i) fp32, rounded to -levels..levels by the largest of each; weight (o, i) int8; sums (o) int32, of the
// weights of an output; scales (o) and bias (o) fp32; to (..., o).
at::Tensor gemv_int8(const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& sums,
                     const at::Tensor& scales, const OptionalTensor& bias, double levels) {
  const int64_t width = weight.size(1), outputs = weight.size(0), count = rows.numel() / width;
  const auto inputs = rows.contiguous();
  const float* const values = inputs.const_data_ptr<float>();
  std::vector<uint8_t> rounded(count * width);
  std::vector<float> largest(count);
  for (int64_t row = 0; row < count; ++row) {
    const float* const from = values + row * width;
    float most = kSmallest, broken = 0;
#pragma omp simd reduction(max : most) reduction(+ : broken)
    for (int64_t i = 0; i < width; ++i) {
      most = std::max(most, std::abs(from[i]));
      broken += from[i] * 0.0f;  // not a number, or 0
    }
    largest[row] = most + broken;
    if (!std::isfinite(largest[row])) continue;  // its outputs shall not be finite either
    const float scale = static_cast<float>(levels) / most;
    for (int64_t i = 0; i < width; ++i) {
      rounded[row * width + i] = static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(from[i] * scale)) + kOffset);
    }
  }
  auto result = outputs_for(rows, weight);
  const int32_t* const offsets = sums.const_data_ptr<int32_t>();
  const float* const factors = scales.const_data_ptr<float>();
  const float* const added = bias ? bias->const_data_ptr<float>() : nullptr;
  float* const to = result.mutable_data_ptr<float>();
  const auto write = [&](int64_t row, int64_t output, int32_t sum) {
    const float product = static_cast<float>(sum - kOffset * offsets[output]) * (factors[output] * largest[row]);
    to[row * outputs + output] = product + (added ? added[output] : 0.0f);
  };
  multiply(rounded.data(), weight.const_data_ptr<int8_t>(), count, width, outputs, write);
  return result;
}

}  // namespace

TORCH_LIBRARY(vqgen, library) {
  library.def("gemv(Tensor rows, Tensor weight, Tensor? bias) -> Tensor");
  library.def("gemv_int8(Tensor rows, Tensor weight, Tensor sums, Tensor scales, Tensor? bias, float levels) -> Tensor");
}

TORCH_LIBRARY_IMPL(vqgen, CPU, library) {
  library.impl("gemv", gemv);
  library.impl("gemv_int8", gemv_int8);
}
