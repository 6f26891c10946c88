using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.PublicApi;

/// <summary>
/// Each public member of the client, its caches and the TestKit is used by a test with a real cluster, and each value of the client's enums is the wire's. Read from the compiled tests, so that a member without a test
/// fails here. The TestKit's histories and their checkers need no cluster: there any test will do.
/// </summary>
public sealed class EveryMemberIsTestedTests
{
    private const string WithoutCluster = "KvStore.TestKit.Histories.";

    [Theory]
    [InlineData("KvStore.Client")]
    [InlineData("KvStore.Client.Caching")]
    [InlineData("KvStore.Client.OutputCaching")]
    [InlineData("KvStore.TestKit")]
    public void Every_public_member_is_used_by_a_test_with_a_real_cluster(string library)
    {
        string tests = typeof(EveryMemberIsTestedTests).Assembly.Location;
        (IReadOnlySet<string> withCluster, IReadOnlySet<string> anywhere) = (TestedMembers.In(tests), TestedMembers.InAnyTest(tests));
        IReadOnlyList<PublicMember> members = PublicMembers.Of(Path.Combine(AppContext.BaseDirectory, $"{library}.dll"));

        members.Should().NotBeEmpty();
        IEnumerable<string> untested = members
            .Where(member => !member.References.Any((member.Name.StartsWith(WithoutCluster, StringComparison.Ordinal) ? anywhere : withCluster).Contains))
            .Select(member => member.Name);
        string.Join('\n', untested).Should().BeEmpty("each public member needs a test that uses it");
    }

    [Fact]
    public void The_members_that_are_looked_for_are_there_and_what_no_test_uses_is_found()
    {
        string[] members = [.. PublicMembers.Of(typeof(IKvKeyspace).Assembly.Location).Select(member => member.Name)];
        IReadOnlySet<string> used = TestedMembers.In(typeof(EveryMemberIsTestedTests).Assembly.Location);

        members.Should().Contain(["KvStore.Client.KvRange.Behind(KvStore.Client.KvKey)", "KvStore.Client.KvEntry`1.Value", "KvStore.Client.KvLocks..ctor(KvStore.Client.IKvKeyspace, KvStore.Client.KvLockOptions, System.TimeProvider)"]);
        used.Should().Contain("KvStore.Client.KvRange.Behind(KvStore.Client.KvKey)");
        used.Should().NotContain("KvStore.Client.KvRange.Behind(String)", "there is no such member");
    }

    [Theory]
    [InlineData(typeof(KvCode), typeof(Code))]
    [InlineData(typeof(KvOutcome), typeof(Outcome))]
    [InlineData(typeof(KvRegime), typeof(Regime))]
    [InlineData(typeof(KvReadLevel), typeof(ReadLevel))]
    [InlineData(typeof(KvChangeKind), typeof(WatchEventKind))]
    public void Every_enum_says_what_the_wire_says(Type client, Type wire)
    {
        // What only the client knows begins at 1,000; 0 has another name there.
        ValuesOf(client).Should().Equal(ValuesOf(wire));
    }

    private static string[] ValuesOf(Type type) => [.. Enum.GetValues(type).Cast<object>().Select(value => (Name: $"{value}", Number: Convert.ToInt32(value))).Where(value => value.Number is > 0 and < 1_000).OrderBy(value => value.Number).Select(value => $"{value.Number} {value.Name}")];
}
