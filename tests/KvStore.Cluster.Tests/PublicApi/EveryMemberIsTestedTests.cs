using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.PublicApi;

/// <summary>
/// Each public member of the client is used by a test with a real cluster, and each value of its enums is the wire's. Read from the compiled tests, so that a member without a test fails here. The output cache's store
/// is not among them: its members are called by ASP.NET Core, in CacheInHostsTests.
/// </summary>
public sealed class EveryMemberIsTestedTests
{
    [Theory]
    [InlineData("KvStore.Client")]
    [InlineData("KvStore.Client.Caching")]
    public void Every_public_member_is_used_by_a_test_with_a_real_cluster(string library)
    {
        IReadOnlySet<string> used = TestedMembers.In(typeof(EveryMemberIsTestedTests).Assembly.Location);
        IReadOnlyList<PublicMember> members = PublicMembers.Of(Path.Combine(AppContext.BaseDirectory, $"{library}.dll"));

        members.Should().NotBeEmpty();
        string.Join('\n', members.Where(member => !member.References.Any(used.Contains)).Select(member => member.Name)).Should().BeEmpty("each public member needs a test that uses it");
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
