using System.Reflection;
using System.Reflection.Emit;
using FluentAssertions;
using Xunit;

namespace KvStore.Core.Tests;

/// <summary>
/// The engines of Core know Identity, Versioning and Tables, never one another and never Replicas, which composes them. Looked up in the compiled assembly: members, signatures, generic arguments,
/// attributes aside, and every type that the code of a method touches.
/// </summary>
public sealed class DependencyRuleTests
{
    private const string Root = "KvStore.Core";
    private static readonly string[] KnownToAll = [Root, $"{Root}.Identity", $"{Root}.Versioning", $"{Root}.Tables"];
    private static readonly Dictionary<ushort, OpCode> OpCodesByValue = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToDictionary(code => (ushort)code.Value);

    [Theory]
    [InlineData("Consensus")]
    [InlineData("Eventual")]
    [InlineData("Detection")]
    [InlineData("Placement")]
    public void An_engine_knows_nothing_but_identity_versioning_and_tables(string engine)
    {
        string own = $"{Root}.{engine}";
        IEnumerable<string> strangers =
            from type in typeof(Invariant).Assembly.GetTypes()
            where IsWithin(type, own)
            from known in ReferencedBy(type).SelectMany(Unwrap).Distinct()
            where known.Namespace?.StartsWith(Root, StringComparison.Ordinal) == true && !IsWithin(known, own) && !KnownToAll.Contains(known.Namespace)
            select $"{type} knows {known}";

        strangers.Distinct().Should().BeEmpty();
    }

    [Fact]
    public void The_check_sees_what_method_bodies_touch()
    {
        IEnumerable<Type> seen = ReferencedBy(typeof(Probe)).SelectMany(Unwrap);

        seen.Should().Contain(typeof(System.Text.StringBuilder)).And.Contain(typeof(Uri)).And.Contain(typeof(Version));
    }

    private static bool IsWithin(Type type, string space) => type.Namespace == space || type.Namespace?.StartsWith(space + ".", StringComparison.Ordinal) == true;

    private static IEnumerable<Type> ReferencedBy(Type type)
    {
        const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        IEnumerable<Type> signature = type.BaseType is null ? type.GetInterfaces() : type.GetInterfaces().Append(type.BaseType);
        signature = signature.Concat(type.GetGenericArguments().SelectMany(ConstraintsOf));
        IEnumerable<Type> fields = type.GetFields(All).Select(field => field.FieldType);
        IEnumerable<Type> properties = type.GetProperties(All).Select(property => property.PropertyType);
        IEnumerable<Type> events = type.GetEvents(All).Select(@event => @event.EventHandlerType!);
        IEnumerable<MethodBase> code = type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All));
        return [.. signature, .. fields, .. properties, .. events, .. code.SelectMany(InMethod)];
    }

    private static IEnumerable<Type> ConstraintsOf(Type argument) => argument.IsGenericParameter ? argument.GetGenericParameterConstraints() : [argument];

    private static IEnumerable<Type> InMethod(MethodBase method)
    {
        IEnumerable<Type> types = method.GetParameters().Select(parameter => parameter.ParameterType);
        if (method is MethodInfo { ReturnType: var returned })
        {
            types = types.Append(returned);
        }

        if (method.IsGenericMethod)
        {
            types = types.Concat(method.GetGenericArguments().SelectMany(ConstraintsOf));
        }

        return method.GetMethodBody() is not { } body ? types
            : types.Concat(body.LocalVariables.Select(local => local.LocalType)).Concat(TouchedByCode(method, body.GetILAsByteArray()!));
    }

    private static IEnumerable<Type> TouchedByCode(MethodBase method, byte[] code)
    {
        Type[]? typeArguments = method.DeclaringType!.IsGenericType ? method.DeclaringType.GetGenericArguments() : null;
        Type[]? methodArguments = method.IsGenericMethod ? method.GetGenericArguments() : null;
        for (int at = 0; at < code.Length;)
        {
            ushort value = code[at++];
            if (value == 0xFE)
            {
                value = (ushort)((value << 8) | code[at++]);
            }

            OpCode operation = OpCodesByValue[value];
            if (operation.OperandType is OperandType.InlineMethod or OperandType.InlineField or OperandType.InlineType or OperandType.InlineTok)
            {
                MemberInfo? member = method.Module.ResolveMember(BitConverter.ToInt32(code, at), typeArguments, methodArguments);
                foreach (Type type in TypesOf(member))
                {
                    yield return type;
                }
            }

            at += OperandLength(operation.OperandType, code, at);
        }
    }

    private static IEnumerable<Type> TypesOf(MemberInfo? member) => member switch
    {
        Type type => [type],
        FieldInfo field => [field.DeclaringType!, field.FieldType],
        MethodInfo { IsGenericMethod: true } generic => [generic.DeclaringType!, generic.ReturnType, .. generic.GetGenericArguments()],
        MethodInfo method => [method.DeclaringType!, method.ReturnType],
        { DeclaringType: { } declaring } => [declaring],
        _ => [],
    };

    private static int OperandLength(OperandType type, byte[] code, int at) => type switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(code, at)),
        _ => 4,
    };

    /// <summary>The type itself, and what it is made of: elements, generic definition and arguments.</summary>
    private static IEnumerable<Type> Unwrap(Type type)
    {
        if (type.HasElementType)
        {
            return Unwrap(type.GetElementType()!);
        }

        return type.IsGenericType ? type.GetGenericArguments().SelectMany(Unwrap).Append(type) : [type];
    }

    private sealed class Probe
    {
        private readonly List<Version> _versions = [];

        public override string ToString()
        {
            object text = new System.Text.StringBuilder().Append(_versions.Count);
            return text is Uri ? "never" : text.ToString()!;
        }
    }
}
