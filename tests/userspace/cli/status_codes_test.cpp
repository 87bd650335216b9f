// SPDX-License-Identifier: Apache-2.0
// Errors with their details over a real connection: what is sent always fits what a peer takes.
#include "api/client.hpp"
#include "scripted_server.hpp"

namespace sluice::testing {
namespace {

class Refusals : public ResourceCommands {
 protected:
  Error refused(const Error& error) {
    resources_.refusal = error;
    const auto client = api::Client::open(socket());
    const auto answer = (*client)->apply(v1::ApplyRequest());
    if (answer) ADD_FAILURE() << "not refused";
    return answer ? Error{} : answer.error();
  }
};

TEST_F(Refusals, KeepTheirCodeMessageAndDetails) {
  for (const ErrorCode code : {ErrorCode::kInvalid, ErrorCode::kNotFound, ErrorCode::kExists, ErrorCode::kPrecondition,
                               ErrorCode::kAborted, ErrorCode::kOutOfRange, ErrorCode::kExhausted}) {
    const Error sent{code, "why\nnot", {{"pod shop/a", "weight", "257", "is wrong", "choose"}, {"x", "", "", "y", ""}}};
    const Error got = refused(sent);
    EXPECT_EQ(got.code, code);
    EXPECT_EQ(got.message, sent.message);
    EXPECT_EQ(got.details, sent.details);
  }
  EXPECT_TRUE(refused(Error{ErrorCode::kInvalid, "bare"}).details.empty());
}

TEST_F(Refusals, AreCutToWhatAPeerTakes) {
  Error sent{ErrorCode::kInvalid, std::string(100000, '\n')};
  for (int i = 0; i < 1000; i++) {
    sent.details.push_back({std::string(3000, 'r'), std::string(3000, 'f'), "v", std::string(3000, 'p'), "remedy"});
  }
  const Error large = refused(sent);
  EXPECT_EQ(large.code, ErrorCode::kInvalid) << large.message;
  EXPECT_TRUE(large.message.ends_with("..."));
  EXPECT_GE(large.details.size(), 2U);
  sent.details.assign(1000, {"r", "f", "v", "p", "x"});
  const std::vector<Detail> details = refused(sent).details;
  ASSERT_EQ(details.size(), 51U);
  EXPECT_EQ(details.back().problem, "and 950 more problems");
  sent.message = std::string(100000, 'x');
  EXPECT_EQ(refused(sent).message.size(), api::kMaxMessageBytes);
}

}  // namespace
}  // namespace sluice::testing
